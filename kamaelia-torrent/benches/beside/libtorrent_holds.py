"""What idle torrents cost in libtorrent: libtorrent_holds.py COUNT. Prints one JSON object."""
import json
import os
import sys
import tempfile
import time

import libtorrent as lt


def resident():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def main():
    count = int(sys.argv[1])
    infos = []
    for i in range(count):
        name = f"t{i}".encode()
        infos.append(b"d4:infod6:lengthi1048576e4:name%d:%s12:piece lengthi16384e6:pieces1280:%see"
                     % (len(name), name, b"x" * 1280))
    session = lt.session({
        "listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
        "enable_natpmp": False, "active_downloads": -1, "active_seeds": -1, "active_limit": 100000, "alert_mask": 0})
    with tempfile.TemporaryDirectory() as folder:
        before, start = resident(), time.monotonic()
        for info in infos:
            p = lt.add_torrent_params()
            p.ti = lt.torrent_info(lt.bdecode(info))
            p.save_path = folder
            p.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
            p.flags |= lt.torrent_flags.seed_mode
            session.async_add_torrent(p)
        del p
        while len(torrents := session.get_torrents()) < count:
            time.sleep(0.01)
        seconds, grown = time.monotonic() - start, resident() - before
        del torrents
        cpu, start = sum(os.times()[:2]), time.monotonic()
        time.sleep(5)
        core = (sum(os.times()[:2]) - cpu) / (time.monotonic() - start)
    print(json.dumps({"torrents": count, "load_seconds": seconds, "grown_kib": grown, "idle_core": core}), flush=True)
    # Its orderly end is not measured.
    os._exit(0)


main()
