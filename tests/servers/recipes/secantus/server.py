"""SecantusDB on loopback: `server.py HOME PORT [--password WORD] [--tls CERTIFICATE KEY]`; prints `READY URI`.

A password makes two users of it: `admin`, who may do everything, and `reader`, who may read the database `metrics`.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import threading
import time

import pymongo
from secantus import cli


def end_with_parent():
    """A test that dies, however it dies, closes our standard input."""
    while sys.stdin.buffer.read(1024):
        pass
    os._exit(0)


def reachable(uri, **options):
    """A client, once the server answers."""
    while True:
        client = pymongo.MongoClient(uri, serverSelectionTimeoutMS=500, **options)
        try:
            client.admin.command("hello")
            return client
        except pymongo.errors.PyMongoError:
            client.close()
            time.sleep(0.05)


def make_users(server, uri, password):
    """Users can only be made while nobody has to log in."""
    program = "import sys; from secantus import cli; sys.exit(cli.main())"
    open_server = subprocess.Popen([sys.executable, "-c", program, *server], stdin=subprocess.DEVNULL)
    try:
        admin = reachable(uri).admin
        admin.command("createUser", "admin", pwd=password, roles=["root"])
        admin.command("createUser", "reader", pwd=password, roles=[{"role": "read", "db": "metrics"}])
    finally:
        open_server.terminate()
        open_server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=pathlib.Path)
    parser.add_argument("port")
    parser.add_argument("--password")
    parser.add_argument("--tls", nargs=2)
    arguments = parser.parse_args()

    threading.Thread(target=end_with_parent, daemon=True).start()
    uri = f"mongodb://127.0.0.1:{arguments.port}/"
    # An empty file of settings: otherwise it looks for one in the user's home.
    settings = arguments.home / "secantusd.toml"
    settings.touch()
    server = ["--config", str(settings), "--host", "127.0.0.1", "--port", arguments.port, "--log-level", "WARNING"]
    server += ["--cache-size", "128M", "--storage-path", str(arguments.home / "data")]
    has_users = arguments.home / "has-users"
    if arguments.password:
        if not has_users.exists():
            make_users(server, uri, arguments.password)
            has_users.touch()
        server.append("--auth")
    secured = {}
    if arguments.tls:
        certificate, key = arguments.tls
        server += ["--tls-cert-file", certificate, "--tls-key-file", key]
        secured = {"tls": True, "tlsAllowInvalidCertificates": True}

    def announce():
        reachable(uri, **secured).close()
        print(f"READY {uri}{'?tls=true' if secured else ''}", flush=True)

    threading.Thread(target=announce, daemon=True).start()
    sys.argv = ["secantusd", *server]
    sys.exit(cli.main())


main()
