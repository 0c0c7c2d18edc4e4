"""One libtorrent session on loopback, driven by JSON lines.

Usage: libtorrent_node.py IP:PORT [SETTINGS]

SETTINGS is a JSON object of libtorrent settings that differ from those below.
Each line of the standard input is a request, {"do": NAME, ...}; each is answered by one line of the standard output,
with "error" in it if it failed. The session ends with the standard input.
"""
import json
import sys

import libtorrent as lt


def session(address, other):
    settings = {
        "listen_interfaces": address,
        "outgoing_interfaces": address.rpartition(":")[0],
        "allow_multiple_connections_per_ip": True,
        "ignore_limits_on_local_network": False,
        # Nothing goes further than loopback.
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        # Plain TCP.
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "out_enc_policy": 2,
        "in_enc_policy": 2,
        # All torrents at once.
        "active_downloads": -1,
        "active_seeds": -1,
        "active_limit": 100000,
        # Trackers on 127.0.0.0/8 are what this is for.
        "ssrf_mitigation": False,
        # Says when everything is with the file system.
        "alert_mask": lt.alert.category_t.storage_notification,
    }
    parameters = lt.session_params()
    parameters.settings = settings | other
    return lt.session(parameters)


class Node:
    def __init__(self, address, other):
        self.session = session(address, other)
        # By the path of the .torrent file; requests that name none are about the last one.
        self.torrents = {}
        self.torrent = None
        self.flushing = set()
        self.flushed = set()

    def add(self, torrent, dir, seed=False, peers=(), upload_limit=0, only_upload=False):
        """Serves what lies in `dir` without checking it, or downloads into it, or serves what is right of it."""
        p = lt.add_torrent_params()
        p.ti = lt.torrent_info(torrent)
        p.save_path = dir
        flags = lt.torrent_flags
        p.flags &= ~(flags.auto_managed | flags.paused)
        p.flags |= flags.disable_dht | flags.disable_lsd | flags.disable_pex
        if seed:
            p.flags |= flags.seed_mode
        if only_upload:
            p.flags |= flags.upload_mode
        self.torrent = self.torrents[torrent] = self.session.add_torrent(p)
        # Bytes a second; the limit of a torrent holds on loopback too.
        if upload_limit:
            self.torrent.set_upload_limit(upload_limit)
        for ip, port in peers:
            self.torrent.connect_peer((ip, port))
        return {}

    def connect(self, peers):
        """Dials peers."""
        for ip, port in peers:
            self.torrent.connect_peer((ip, port))
        return {}

    def state(self, torrent=None):
        t = self.torrents[torrent] if torrent else self.torrent
        s = t.status()
        finished = s.is_finished and s.has_metadata and not str(s.state).startswith("checking")
        # A finished torrent is verified, but not all of it is written yet.
        if finished and t not in self.flushing:
            self.flushing.add(t)
            t.flush_cache()
        for alert in self.session.pop_alerts():
            if isinstance(alert, lt.cache_flushed_alert):
                self.flushed.add(alert.handle)
        return {
            "state": str(s.state),
            "complete": bool(finished and t in self.flushed),
            "done": s.total_done,
            "wanted": s.total_wanted,
            "uploaded": s.total_payload_upload,
            "downloaded": s.total_payload_download,
            "peers": s.num_peers,
            "problem": s.errc.message() if s.errc.value() else "",
        }

    def states(self):
        """What was sent of each torrent, all at one moment."""
        return {"uploaded": {path: t.status().total_payload_upload for path, t in self.torrents.items()}}

    def limit(self, upload, torrent=None):
        """Limits the upload of one torrent, or of each, to bytes a second; 0 lifts the limit."""
        for t in [self.torrents[torrent]] if torrent else self.torrents.values():
            t.set_upload_limit(upload)
        return {}

    def connections(self):
        """What is known of each peer; `queue` is how many requests it has been sent."""
        return {
            "peers": [
                {"client": str(p.client, "utf-8") if isinstance(p.client, bytes) else p.client,
                 "queue": p.download_queue_length, "connecting": bool(p.flags & (lt.peer_info.connecting | lt.peer_info.handshake))}
                for p in self.torrent.get_peer_info()
            ]
        }

    def describe(self, torrent):
        """What libtorrent reads out of a .torrent file."""
        t = lt.torrent_info(torrent)
        files = t.files()
        return {
            "info_hash": str(t.info_hashes().v1),
            "name": t.name(),
            "piece_length": t.piece_length(),
            "pieces": t.num_pieces(),
            "private": t.priv(),
            "comment": t.comment(),
            "trackers": [[x.url, x.tier] for x in t.trackers()],
            "web_seeds": [x["url"] for x in t.web_seeds()],
            "files": [[files.file_path(i), files.file_size(i)] for i in range(files.num_files())],
        }


def main():
    node = Node(sys.argv[1], json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
    names = ["add", "connect", "connections", "describe", "limit", "state", "states"]
    calls = {name: getattr(node, name) for name in names}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = calls[request.pop("do")](**request)
        except Exception as error:  # whatever it is, the other side has to hear of it
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


main()
