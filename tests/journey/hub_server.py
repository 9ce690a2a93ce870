"""A stand-in for the Hugging Face Hub: an HTTP server in a thread that keeps repositories in
memory.

It speaks what huggingface_hub's client asks for when it creates, uploads to, lists and downloads
from a repository, as the client's own source has it. It is not the Hub: what passes here shows that
matboard and the client agree with each other, nothing about the Hub's own rules, limits, scanners
or Xet storage. Files go up as regular git content or, where ``lfs`` names their suffix, by git-lfs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

import yaml

NONE: Mapping[str, str] = {}
LFS = "application/vnd.git-lfs+json"


@dataclass
class Repo:
    """Commits (sha → path → content), branches, and who may read: everyone, the owner, or, where
    gated, nobody yet.
    """

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        whole = {**self.files(branch), **files}
        digest = hashlib.sha1(f"{branch} {len(self.commits)}".encode())
        for path, content in sorted(whole.items()):
            digest.update(path.encode() + content)
        sha = self.branches[branch] = digest.hexdigest()
        self.commits[sha] = whole
        return sha

    def sha(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)

    def files(self, revision: str) -> dict[str, bytes]:
        return self.commits.get(self.sha(revision) or "", {})


class Hub(ThreadingHTTPServer):
    """The server's memory.

    Attributes:
        repos: ``models/owner/name`` or ``datasets/owner/name`` → repository.
        users: token → user, who may write below that name.
        lfs: suffixes that are stored by git-lfs.
        asked: method and path of every request, in order.
        broken: an HTTP status to answer every request with.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.repos: dict[str, Repo] = {}
        self.users: dict[str, str] = {}
        self.lfs: tuple[str, ...] = ()
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.broken: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def storage(self) -> str:
        """Where large files are fetched from: to the client another host, as the Hub's is, which
        gets no access token.
        """
        return f"http://localhost:{self.server_address[1]}"

    def add(
        self,
        name: str,
        files: Mapping[str, bytes],
        branch: str = "main",
        **rights: bool,
    ) -> Repo:
        repo = self.repos[name] = Repo(**rights)
        repo.commit(files, branch)
        return repo


@contextmanager
def serving() -> Iterator[Hub]:
    """A server on a free port, closed at the end."""
    hub = Hub()
    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()


class Refused(Exception):
    """An answer that is an error, as the client recognises it: by status, and by the header
    X-Error-Code.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


class Answer(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        self.body = self._read()
        self.path = urlsplit(self.path).path
        self.server.asked.append(f"{self.command} {self.path}")
        try:
            if self.server.broken:
                raise Refused(self.server.broken, "The server is out of order.")
            for method, pattern, act in ROUTES:
                if self.command in method.split() and (
                    found := re.fullmatch(pattern, self.path)
                ):
                    return act(self, *map(unquote, found.groups()))
            raise Refused(404, f"No such route: {self.command} {self.path}.")
        except Refused as error:
            headers = {
                "X-Error-Message": error.message,
                **({"X-Error-Code": error.code} if error.code else {}),
            }
            self._json({"error": error.message}, error.status, headers)

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(
        self, content: bytes, status: int = 200, headers: Mapping[str, str] = NONE
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(
        self, value: object, status: int = 200, headers: Mapping[str, str] = NONE
    ) -> None:
        self._send(
            json.dumps(value).encode(),
            status,
            {"Content-Type": "application/json", **headers},
        )

    def _user(self) -> str | None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.server.users:
            raise Refused(401, "Invalid credentials in Authorization header")
        return self.server.users.get(token)

    def _writer(self, owner: str) -> None:
        user = self._user()
        if user is None:
            raise Refused(401, "Invalid username or password.")
        if user != owner:
            raise Refused(
                403, f"You don't have the rights to write in the namespace {owner!r}"
            )

    def _repo(self, kind: str, name: str) -> Repo:
        """A repository to read; to a stranger a private one looks like a missing one, and both like
        a failed login.
        """
        user, repo = self._user(), self.server.repos.get(f"{kind}/{name}")
        if repo is None or (repo.private and user != name.split("/")[0]):
            raise Refused(
                401 if user is None else 404, "Repository not found", "RepoNotFound"
            )
        return repo

    def _files(
        self, repo: Repo, revision: str, metadata: bool = False
    ) -> tuple[str, dict[str, bytes]]:
        """Commit and files of a revision. A gated repository shows its list to everyone and its
        files to nobody.
        """
        sha = repo.sha(revision)
        if sha is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if repo.gated and not metadata:
            raise Refused(
                403,
                "Access to this model is restricted: you are not in the authorized list.",
                "GatedRepo",
            )
        return sha, repo.commits[sha]

    def _is_lfs(self, path: str) -> bool:
        return path.endswith(self.server.lfs)

    def create(self) -> None:
        asked = json.loads(self.body)
        owner = asked.get("organization") or self._user() or ""
        self._writer(owner)
        kind, name = asked.get("type", "model") + "s", f"{owner}/{asked['name']}"
        known = f"{kind}/{name}" in self.server.repos
        if not known:
            self.server.add(
                f"{kind}/{name}",
                {".gitattributes": b""},
                private=asked.get("visibility") == "private",
            )
        url = f"{self.server.url}/{'' if kind == 'models' else kind + '/'}{name}"
        self._json(
            {
                "url": url,
                "name": name,
                **({"error": "You already created this repo"} if known else {}),
            },
            409 if known else 200,
        )

    def validate(self) -> None:
        try:
            _, front, _ = json.loads(self.body)["content"].split("---\n", 2)
            wrong = (
                []
                if isinstance(yaml.safe_load(front), dict)
                else ["the front matter is no mapping"]
            )
        except (ValueError, yaml.YAMLError) as error:
            wrong = [str(error)]
        self._json(
            {"errors": [{"message": m} for m in wrong], "warnings": []},
            400 if wrong else 200,
        )

    def preupload(self, kind: str, name: str, revision: str) -> None:
        self._writer(name.split("/")[0])
        there = self._repo(kind, name).files(revision)
        self._json(
            {
                "files": [
                    self._mode(file["path"], there)
                    for file in json.loads(self.body)["files"]
                ]
            }
        )

    def _mode(self, path: str, there: Mapping[str, bytes]) -> dict[str, object]:
        oid = (
            (sha256 if self._is_lfs(path) else git_hash)(there[path])
            if path in there
            else None
        )
        return {
            "path": path,
            "uploadMode": "lfs" if self._is_lfs(path) else "regular",
            "shouldIgnore": False,
            "oid": oid,
        }

    def batch(self, name: str) -> None:
        self._writer(name.split("/")[0])
        url, answers = self.server.url, []
        for wanted in json.loads(self.body)["objects"]:
            actions = {
                "upload": {"href": f"{url}/lfs/{wanted['oid']}"},
                "verify": {"href": f"{url}/lfs/verify"},
            }
            answers.append(
                {
                    **wanted,
                    **(
                        {}
                        if wanted["oid"] in self.server.objects
                        else {"actions": actions}
                    ),
                }
            )
        self._json(
            {"transfer": "basic", "objects": answers}, headers={"Content-Type": LFS}
        )

    def put_object(self, oid: str) -> None:
        if sha256(self.body) != oid:
            raise Refused(400, "The content has another sha256 than announced.")
        self.server.objects[oid] = self.body
        self._send(b"")

    def verify(self) -> None:
        asked = json.loads(self.body)
        if len(self.server.objects.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(422, "The object was not stored, or has another size.")
        self._json({})

    def get_object(self, oid: str) -> None:
        self._send(self.server.objects[oid])

    def commit(self, kind: str, name: str, branch: str) -> None:
        self._writer(name.split("/")[0])
        files = {}
        for line in self.body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(
                    entry["value"]["content"]
                )
            elif entry["key"] == "lfsFile":
                files[entry["value"]["path"]] = self.server.objects[
                    entry["value"]["oid"]
                ]
            elif entry["key"] != "header":
                raise Refused(
                    400, f"This stand-in knows no operation {entry['key']!r}."
                )
        sha = self._repo(kind, name).commit(files, branch)
        self._json(
            {
                "commitUrl": f"{self.server.url}/{name}/commit/{sha}",
                "commitOid": sha,
                "success": True,
            }
        )

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        repo = self._repo(kind, name)
        sha, files = self._files(repo, revision, metadata=True)
        self._json(
            {
                "id": name,
                "sha": sha,
                "private": repo.private,
                "tags": [],
                "siblings": [{"rfilename": path} for path in files],
            }
        )

    def tree(self, kind: str, name: str, revision: str) -> None:
        _, files = self._files(self._repo(kind, name), revision, metadata=True)
        self._json(
            [self._entry(path, content) for path, content in sorted(files.items())]
        )

    def _entry(self, path: str, content: bytes) -> dict[str, object]:
        lfs = (
            {"lfs": {"oid": sha256(content), "size": len(content), "pointerSize": 130}}
            if self._is_lfs(path)
            else {}
        )
        return {
            "type": "file",
            "path": path,
            "size": len(content),
            "oid": git_hash(content),
            **lfs,
        }

    def resolve(self, prefix: str, name: str, revision: str, path: str) -> None:
        sha, files = self._files(
            self._repo((prefix or "models/").rstrip("/"), name), revision
        )
        if path not in files:
            raise Refused(404, f"{path} is not in {name}", "EntryNotFound")
        content, headers = files[path], {"X-Repo-Commit": sha}
        if not self._is_lfs(path):
            return self._send(
                content, headers={**headers, "ETag": f'"{git_hash(content)}"'}
            )
        oid = sha256(content)
        self.server.objects[oid] = content
        linked = {
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.server.storage}/lfs/{oid}",
        }
        self._send(b"", 302, {**headers, **linked})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


REPO = "([^/]+/[^/]+)"
ROUTES = (
    ("POST", "/api/repos/create", Answer.create),
    ("POST", "/api/validate-yaml", Answer.validate),
    ("POST", f"/api/(models|datasets)/{REPO}/preupload/([^/]+)", Answer.preupload),
    ("POST", f"/{REPO}.git/info/lfs/objects/batch", Answer.batch),
    ("POST", "/lfs/verify", Answer.verify),
    ("PUT", "/lfs/([0-9a-f]{64})", Answer.put_object),
    ("GET", "/lfs/([0-9a-f]{64})", Answer.get_object),
    ("POST", f"/api/(models|datasets)/{REPO}/commit/([^/]+)", Answer.commit),
    ("GET", f"/api/(models|datasets)/{REPO}", Answer.info),
    ("GET", f"/api/(models|datasets)/{REPO}/revision/([^/]+)", Answer.info),
    ("GET", f"/api/(models|datasets)/{REPO}/tree/([^/]+)", Answer.tree),
    ("HEAD GET", f"/(datasets/|){REPO}/resolve/([^/]+)/(.+)", Answer.resolve),
)
