# SPDX-License-Identifier: Apache-2.0
"""Takes the wanted files, and no others, out of an archive: tar (npm), Debian package, Qt resource.

Archives are hostile input: a name that would leave the target folder refuses the whole archive,
links and devices are never made (a wanted link of a Debian package becomes a copy), and what a
member may unpack to is limited.
"""
import posixpath
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path

from common import Problem, is_safe_name

LARGEST_FILE = 1 << 30
RCC_DIRECTORY, RCC_ZLIB, RCC_ZSTD = 2, 1, 4
RCC_DEEPEST = 64


def plain_name(name):
    """A member's name without the ./ in front."""
    while name.startswith("./"):
        name = name[2:]
    return name.rstrip("/")


def write_file(folder, name, data):
    """Writes `data` to the file `name` under `folder`; the name has been checked."""
    target = Path(folder, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def link_target(member, name):
    """The archive's name of what a link points to: a hard link names it from the root of the
    archive, a symbolic link from the link's own folder."""
    if member.islnk():
        return plain_name(member.linkname)
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))


def unpack_tar(stream, wanted, folder, strip=0, links=None, what="archive"):
    """Writes the members that `wanted(name)` accepts, `strip` leading folders removed.

    Returns the set of their names. `stream` is a binary file; it is read once, forwards. A wanted
    link is put into the dictionary `links` as {name: target}; without that it is refused.
    """
    written = set()
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for member in archive:
                name = plain_name(member.name)
                if name and not is_safe_name(name):
                    raise Problem(f"{what}: refused, its member '{member.name}' leaves the folder")
                name = "/".join(name.split("/")[strip:])
                if not wanted(name):
                    continue
                if links is not None and (member.issym() or member.islnk()):
                    links[name] = link_target(member, name)
                    continue
                if not member.isreg() or member.size > LARGEST_FILE:
                    raise Problem(f"{what}: refused, '{member.name}' is no plain file of sane size")
                write_file(folder, name, archive.extractfile(member).read())
                written.add(name)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise Problem(f"{what}: damaged ({error}); delete it and fetch again") from error
    return written


def unpack_npm(path, wanted, folder):
    """An npm tarball; its members lie in one folder that is left out of their names."""
    with open(path, "rb") as stream:
        return unpack_tar(stream, wanted, folder, strip=1, what=str(path))


def read_debian(path, wanted, folder, links):
    """One pass over the files of a Debian package, through dpkg-deb."""
    command = ["dpkg-deb", "--fsys-tarfile", str(path)]
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            written = unpack_tar(process.stdout, wanted, folder, links=links, what=str(path))
            while process.stdout.read(1 << 16):
                pass
    except FileNotFoundError as error:
        raise Problem("dpkg-deb is needed to open Debian packages: install dpkg") from error
    if process.returncode:
        raise Problem(f"{path}: dpkg-deb cannot read it; delete it and fetch again")
    return written


def unpack_debian(path, wanted, folder):
    """A Debian package. A wanted link becomes a copy of the file of the package that it names."""
    links = {}
    written = read_debian(path, wanted, folder, links)
    if not links:
        return written
    for name, target in links.items():
        if not is_safe_name(target):
            raise Problem(f"{path}: refused, its link '{name}' leaves the folder")
    targets = set(links.values()) - written
    present = written | read_debian(path, lambda name: name in targets, folder, None)
    for name, target in links.items():
        if target not in present:
            raise Problem(f"{path}: its link '{name}' leads nowhere")
        write_file(folder, name, Path(folder, target).read_bytes())
    return written | set(links)


class ResourceFile:
    """A compiled Qt resource file (.rcc): a tree of fixed-size records, names, and file contents.

    All numbers are big-endian. Header: "qres", version, offsets of tree, data and names. A tree
    record: name offset u32, flags u16; then, of a folder, child count u32 and first child u32; of a
    file, locale u32 and data offset u32. From version 2 on each record ends in a time of 8 bytes.
    """

    def __init__(self, data, what):
        self.data = data
        self.what = what
        if len(data) < 20 or data[:4] != b"qres":
            raise Problem(f"{what}: not a compiled Qt resource file")
        self.version, self.tree, self.contents, self.names = struct.unpack_from(">4I", data, 4)
        self.record_size = 14 if self.version < 2 else 22

    def part(self, begin, size):
        """Bytes of the file, all of which must be there."""
        if begin + size > len(self.data):
            raise Problem(f"{self.what}: cut off")
        return self.data[begin:begin + size]

    def name(self, offset):
        """A name: length u16, hash u32, UTF-16."""
        begin = self.names + offset
        (length,) = struct.unpack(">H", self.part(begin, 2))
        return self.part(begin + 6, 2 * length).decode("utf-16-be")

    def content(self, offset, flags):
        """The bytes of a file: size u32, then the data, behind a u32 of the full size if packed."""
        begin = self.contents + offset
        (size,) = struct.unpack(">I", self.part(begin, 4))
        raw = self.part(begin + 4, size)
        if flags & RCC_ZSTD:
            raise Problem(f"{self.what}: packed with zstd, which this reader does not know")
        if not flags & RCC_ZLIB:
            return raw
        unpacker = zlib.decompressobj()
        full = unpacker.decompress(raw[4:], LARGEST_FILE)
        if not unpacker.eof:
            raise Problem(f"{self.what}: a packed file is cut off or beyond {LARGEST_FILE} bytes")
        return full

    def walk(self, index=0, folder="", depth=0):
        """Yields (name, data offset, flags) of every file."""
        if depth > RCC_DEEPEST:
            raise Problem(f"{self.what}: folders nested too deeply")
        begin = self.tree + index * self.record_size
        name_offset, flags = struct.unpack_from(">IH", self.data, begin)
        first, second = struct.unpack_from(">II", self.data, begin + 6)
        name = folder + (self.name(name_offset) if index else "")
        if not flags & RCC_DIRECTORY:
            yield name, second, flags
            return
        for child in range(second, second + first):
            if child <= index:
                raise Problem(f"{self.what}: the tree of names runs in a circle")
            yield from self.walk(child, name + "/" if index else "", depth + 1)


def unpack_rcc(path, wanted, folder):
    """A compiled Qt resource file."""
    written = set()
    try:
        resource = ResourceFile(Path(path).read_bytes(), str(path))
        for name, offset, flags in resource.walk():
            if not is_safe_name(name):
                raise Problem(f"{path}: refused, its member '{name}' leaves the folder")
            if wanted(name):
                write_file(folder, name, resource.content(offset, flags))
                written.add(name)
    except (struct.error, zlib.error, UnicodeDecodeError) as error:
        raise Problem(f"{path}: damaged ({error})") from error
    return written
