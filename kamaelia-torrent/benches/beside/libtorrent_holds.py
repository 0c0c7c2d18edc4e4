"""Many torrents in libtorrent. Results are JSON objects, one a line.

    libtorrent_holds.py idle COUNT [SECONDS [TRACKER [ADDRESSES]]]   what they cost while nobody wants anything
    libtorrent_holds.py active ACTIVE COUNT DIR --seed|--leech       serves or fetches until the standard input ends
"""
import json
import os
import sys
import tempfile
import threading
import time

import libtorrent as lt

from holding import torrent


def resident():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def session(**more):
    return lt.session({
        "listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
        "enable_natpmp": False, "active_downloads": -1, "active_seeds": -1, "active_limit": 100000,
        "active_tracker_limit": 100000, "alert_mask": 0, "min_announce_interval": 60, **more})


def load(session, infos, folder, is_seed, tracker="", addresses=0):
    for i, info in enumerate(infos):
        p = lt.add_torrent_params()
        p.ti = lt.torrent_info(lt.bdecode(info))
        p.save_path = folder
        p.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
        if is_seed(i):
            p.flags |= lt.torrent_flags.seed_mode
        if tracker:
            p.trackers = [tracker]
        if addresses:
            p.peers = [(f"127.200.{n // 250}.{1 + n % 250}", 9) for n in range(addresses)]
        session.async_add_torrent(p)
    while len(session.get_torrents()) < len(infos):
        time.sleep(0.01)


def idle(count, seconds=5, tracker="", addresses=0):
    infos = [torrent(i) for i in range(int(count))]
    ours = session()
    with tempfile.TemporaryDirectory() as folder:
        before, start = resident(), time.monotonic()
        load(ours, infos, folder, lambda _: True, tracker, int(addresses))
        loaded, grown = time.monotonic() - start, resident() - before
        cpu, start = sum(os.times()[:2]), time.monotonic()
        time.sleep(float(seconds))
        core = (sum(os.times()[:2]) - cpu) / (time.monotonic() - start)
        rested = resident() - before
    print(json.dumps({"torrents": len(infos), "load_seconds": loaded, "grown_kib": grown, "rested_kib": rested,
                      "idle_core": core}), flush=True)


def active(active, count, folder, role):
    active, seeds = int(active), role == "--seed"
    ours = session(connections_limit=active + 10, unchoke_slots_limit=-1, listen_queue_size=1000,
                   max_allowed_in_request_queue=200_000, allow_multiple_connections_per_ip=True)
    load(ours, [torrent(i) for i in range(int(count))], folder, lambda i: seeds or i >= active)
    handles = [t for t in ours.get_torrents() if int(t.status().name[1:]) < active]
    # A leech looks first whether anything is there.
    while any(t.status().state in (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data)
              for t in handles):
        time.sleep(0.05)
    print(json.dumps({"event": "listening", "address": f"127.0.0.1:{ours.listen_port()}"}), flush=True)
    ended = threading.Thread(target=sys.stdin.read, daemon=True)
    ended.start()
    done = seeds
    while ended.is_alive():
        time.sleep(0.1)
        if not done and all(t.is_seed() for t in handles):
            done = True
            print(json.dumps({"event": "done"}), flush=True)


{"idle": idle, "active": active}[sys.argv[1]](*sys.argv[2:])
# Its orderly end is not measured.
os._exit(0)
