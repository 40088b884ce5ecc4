"""content.py FOLDER: a package called `greeting` in one version, as each registry
serves it, below FOLDER/www; and the files by which a project asks for it."""

import base64
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile

folder = sys.argv[1]


def put(path, content):
    path = os.path.join(folder, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def archive(files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(text)
            tar.addfile(about, io.BytesIO(text.encode()))
    return packed.getvalue()


# SOURCE: npm's registry API, "package metadata".
tarball = archive({
    "package/package.json": json.dumps({"name": "greeting", "version": "1.0.0", "main": "index.js"}),
    "package/index.js": "module.exports = 'hello from a package';\n",
})
integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
address = "https://npm.example/greeting/-/greeting-1.0.0.tgz"
dist = {"tarball": address, "integrity": integrity}
put("www/npm.example/greeting/-/greeting-1.0.0.tgz", tarball)
put("www/npm.example/greeting/index.html", json.dumps({
    "name": "greeting",
    "dist-tags": {"latest": "1.0.0"},
    "versions": {"1.0.0": {"name": "greeting", "version": "1.0.0", "dist": dist}},
}))
wants = {"greeting": "1.0.0"}
put("project/package.json", json.dumps({"name": "app", "version": "1.0.0", "dependencies": wants}))
put("project/package-lock.json", json.dumps({
    "name": "app", "version": "1.0.0", "lockfileVersion": 3, "requires": True,
    "packages": {
        "": {"name": "app", "version": "1.0.0", "dependencies": wants},
        "node_modules/greeting": {"version": "1.0.0", "resolved": address, "integrity": integrity},
    },
}))

# SOURCE: PEP 503 (simple index) and PEP 427 (wheels).
wheel = io.BytesIO()
about = "greeting-1.0.dist-info"
with zipfile.ZipFile(wheel, "w") as zipped:
    zipped.writestr("greeting.py", "hello = 'hello from a package'\n")
    zipped.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    zipped.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    zipped.writestr(f"{about}/RECORD", "")
name = "greeting-1.0-py3-none-any.whl"
put(f"www/pip.example/files/{name}", wheel.getvalue())
digest = hashlib.sha256(wheel.getvalue()).hexdigest()
put("www/pip.example/simple/greeting/index.html", f'<a href="/files/{name}#sha256={digest}">{name}</a>')

# SOURCE: The Cargo Book, "Registry Index", sparse protocol.
crate = archive({
    "greeting-1.0.0/Cargo.toml": '[package]\nname = "greeting"\nversion = "1.0.0"\n',
    "greeting-1.0.0/src/lib.rs": 'pub fn hello() -> &\'static str { "hello from a package" }\n',
})
put("www/crates.example/files/greeting/1.0.0.crate", crate)
put("www/crates.example/index/config.json", json.dumps({"dl": "https://crates.example/files/{crate}/{version}.crate"}))
put("www/crates.example/index/gr/ee/greeting", json.dumps({
    "name": "greeting", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False,
    "cksum": hashlib.sha256(crate).hexdigest(),
}) + "\n")
put("project/Cargo.toml", '[package]\nname = "app"\nversion = "0.1.0"\n[dependencies]\ngreeting = "1"\n')
put("project/src/main.rs", "fn main() {}\n")
put("project/.cargo/config.toml", '[source.crates-io]\nreplace-with = "lab"\n'
    '[source.lab]\nregistry = "sparse+https://crates.example/index/"\n')

# SOURCE: DebianRepository/Format, a flat repository.
packages = "Package: greeting\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.invalid>\n" \
    "Filename: ./greeting.deb\nSize: 1\nSHA256: " + "0" * 64 + "\nDescription: hello from a package\n"
put("www/apt.example/Packages", packages)
put("www/apt.example/Packages.gz", gzip.compress(packages.encode()))
sums = "".join(
    f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}\n"
    for name, content in (("Packages", packages.encode()), ("Packages.gz", gzip.compress(packages.encode())))
)
put("www/apt.example/Release", f"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n{sums}")
