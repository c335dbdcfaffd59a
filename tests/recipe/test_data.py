#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks of the tiny model's training data, on a small folder made here: no network, no media.

usage: test_data.py RECIPE_DATA_FOLDER
"""
import contextlib
import io
import json
import shutil
import struct
import sys
import tarfile
import tempfile
import unittest
import zlib
from pathlib import Path
from unittest import mock

RECIPE = Path(sys.argv.pop(1)).resolve()
sys.path.insert(0, str(RECIPE))

import build  # noqa: E402
import build_manifest  # noqa: E402
import common  # noqa: E402
import fetch  # noqa: E402
import unpack  # noqa: E402
import verify  # noqa: E402


def entry(file, split="train", spdx="MIT", tier="permissive", package="pack", **more):
    """A line of a manifest."""
    image = file.startswith("images/")
    line = {"file": file, "modality": "image" if image else "sound", "kind": "color",
            "split": split, "family": common.family_of(file) or package, "package": package,
            "path": file, "spdx": spdx, "tier": tier}
    return line | ({} if image else {"kind": "recording", "group": file}) | more


def small_manifest():
    """A data set that keeps the rules."""
    return [
        entry("images/dog__noto_1.webp"),
        entry("images/dog__openmoji_1.webp", "test", "CC-BY-SA-4.0", "copyleft-test-only"),
        entry("sounds/dog__barks_1.flac", "train", "GPL-2.0-only", "copyleft", group="kennel"),
        entry("sounds/dog__barks_2.flac", "test", "CC0-1.0", group="park"),
    ]


def flac_head(samples):
    """The begin of a FLAC file of that length."""
    return b"fLaC" + bytes(14) + (samples | 15 << 36).to_bytes(8, "big")


class Folder(unittest.TestCase):
    """A data folder with hashes, made anew for each test."""

    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.data = self.root / "data"
        self.entries = small_manifest()
        self.write()

    def write(self):
        """Writes files, manifest and hashes of self.entries."""
        for number, line in enumerate(self.entries):
            path = self.data / line["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"file %d" % number)
        text = "".join(json.dumps(line) + "\n" for line in self.entries)
        (self.data / "manifest.jsonl").write_text(text, encoding="utf-8")
        names = [line["file"] for line in self.entries] + ["manifest.jsonl"]
        sums = "".join(f"{common.sha256_file(self.data / name)}  {name}\n" for name in names)
        (self.root / "SHA256SUMS").write_text(sums, encoding="utf-8")

    def check(self, contents=None, strict=False):
        sums = common.read_sums(self.root / "SHA256SUMS")
        return verify.verify(self.data, sums, contents or {}, strict)

    def assert_problem(self, *parts):
        """Exactly one problem, and it has all the parts."""
        problems = self.check()[1]
        self.assertEqual(len(problems), 1, problems)
        for part in parts:
            self.assertIn(part, problems[0])


class Files(Folder):
    def test_sound_folder_passes(self):
        counts, problems = self.check()
        self.assertEqual((counts["bytes"], problems), (5, []))

    def test_documents_are_no_extra_files(self):
        (self.data / "SOURCES.md").write_text("about", encoding="utf-8")
        self.assertEqual(self.check()[1], [])

    def test_changed_file(self):
        (self.data / "images/dog__noto_1.webp").write_bytes(b"other")
        self.assert_problem("images/dog__noto_1.webp", "differs")

    def test_missing_file(self):
        (self.data / "sounds/dog__barks_2.flac").unlink()
        self.assert_problem("sounds/dog__barks_2.flac", "missing")

    def test_extra_file(self):
        (self.data / "images/cat__noto_1.webp").write_bytes(b"cat")
        self.assert_problem("images/cat__noto_1.webp", "extra")

    def test_extra_file_beside_the_folders(self):
        (self.data / "notes.txt").write_bytes(b"x")
        self.assert_problem("notes.txt", "extra")

    def test_missing_folder(self):
        shutil.rmtree(self.data)
        with self.assertRaisesRegex(common.Problem, "no such folder"):
            self.check()

    def test_other_bytes_of_the_pinned_content(self):
        name = "images/dog__noto_1.webp"
        contents = {name: {"content": "pixels"}}
        (self.data / name).write_bytes(b"another encoder's")
        with mock.patch.object(verify, "content_hash", return_value="pixels"):
            counts, problems = self.check(contents)
            self.assertEqual((counts["content"], problems), (1, []))
            self.assertEqual(len(self.check(contents, strict=True)[1]), 1)
        with mock.patch.object(verify, "content_hash", return_value="other"):
            self.assertEqual(len(self.check(contents)[1]), 1)
        with mock.patch.object(verify, "content_hash", side_effect=common.Unreadable("damaged")):
            self.assertEqual(len(self.check(contents)[1]), 1)

    def test_unpinned_sound_is_held_to_its_length(self):
        name = "sounds/dog__barks_2.flac"
        contents = {name: {"content": "-", "seconds": "1.5"}}
        (self.data / name).write_bytes(flac_head(24000))
        counts, problems = self.check(contents)
        self.assertEqual((counts["length"], problems), (1, []))
        self.assertEqual(len(self.check(contents, strict=True)[1]), 1)
        (self.data / name).write_bytes(flac_head(16000))
        self.assertEqual(len(self.check(contents)[1]), 1)

    def test_list_of_hashes_must_be_one(self):
        for line in ("abc  name", "0" * 64 + "  ../name", "0" * 64 + "  /name"):
            (self.root / "SHA256SUMS").write_text(line + "\n", encoding="utf-8")
            with self.assertRaisesRegex(common.Problem, "sha256sum"):
                self.check()


class Rules(Folder):
    def change(self, number, **changes):
        self.entries[number] |= changes
        self.write()

    def test_openmoji_in_train(self):
        self.change(1, split="train", spdx="MIT", tier="permissive")
        self.assert_problem("openmoji", "OpenMoji in split train")

    def test_copyleft_picture_in_train(self):
        self.change(0, spdx="CC-BY-SA-4.0", tier="copyleft-test-only")
        self.assert_problem("dog__noto_1", "CC-BY-SA-4.0 in split train")

    def test_copyleft_in_the_permissive_tier(self):
        self.change(2, tier="permissive")
        self.assert_problem("dog__barks_1", "GPL-2.0-only in the permissive tier")

    def test_licences_that_forbid_use(self):
        for spdx in ("CC-BY-NC-4.0", "CC-BY-ND-3.0", "CC-BY-NC-SA-3.0"):
            self.change(2, spdx=spdx)
            self.assert_problem("dog__barks_1", "forbids")

    def test_group_on_both_sides(self):
        self.change(3, group="kennel")
        self.assert_problem("dog__barks_1", "dog__barks_2", "one group")

    def test_drawing_family_on_both_sides(self):
        self.entries.append(entry("images/cat__noto_1.webp", "val"))
        self.write()
        self.assert_problem("cat__noto_1", "dog__noto_1", "one drawing family")

    def test_photographs_may_be_on_both_sides(self):
        self.entries += [entry(f"images/cat__photo_{n}.webp", split, kind="photo")
                         for n, split in enumerate(("train", "test"))]
        self.write()
        self.assertEqual(self.check()[1], [])

    def test_source_file_on_both_sides(self):
        self.change(3, path=self.entries[2]["path"])
        self.assert_problem("one source file")

    def test_same_content_on_both_sides(self):
        sums = {line["file"]: "0" * 64 for line in self.entries[2:]}
        told = list(verify.check_splits(self.entries[2:], sums))
        self.assertEqual(len(told), 1)
        self.assertIn("one content", told[0])

    def test_unknown_split(self):
        self.change(0, split="dev")
        self.assertTrue(any("split 'dev'" in problem for problem in self.check()[1]))

    def test_manifest_without_a_file(self):
        sums = common.read_sums(self.root / "SHA256SUMS")
        told = verify.check_manifest(self.entries[1:], sums)
        self.assertEqual(told, ["images/dog__noto_1.webp: not in the manifest"])

    def test_damaged_manifest(self):
        for text in ("{", "[]", '{"file": 1}'):
            (self.data / "manifest.jsonl").write_text(text, encoding="utf-8")
            with self.assertRaisesRegex(common.Problem, "manifest.jsonl:1"):
                self.check()


class GivenData(Folder):
    def test_made_files_that_differ_are_dropped(self):
        sums = common.read_sums(self.root / "SHA256SUMS")
        names = [line["file"] for line in self.entries]
        (self.data / names[0]).write_bytes(b"other")
        rows = {name: {"content": "pixels"} for name in names}
        with mock.patch.object(verify, "content_hash", return_value="other"), \
                contextlib.redirect_stdout(io.StringIO()) as told:
            self.assertEqual(build.drop_differing(names, sums, rows, self.data), names[1:])
        self.assertIn(names[0], told.getvalue())

    def test_files_are_taken_as_pinned(self):
        sums = common.read_sums(self.root / "SHA256SUMS")
        names = [line["file"] for line in self.entries]
        build.take_rest(names, sums, self.data, self.root / "out")
        self.assertTrue(all((self.root / "out" / name).is_file() for name in names))

    def test_changed_and_missing_files_are_named(self):
        sums = common.read_sums(self.root / "SHA256SUMS")
        changed, missing = "images/dog__noto_1.webp", "sounds/dog__barks_1.flac"
        (self.data / changed).write_bytes(b"other")
        (self.data / missing).unlink()
        with self.assertRaises(common.Problem) as caught:
            build.take_rest([changed, missing], sums, self.data, self.root / "out")
        self.assertIn(changed, str(caught.exception))
        self.assertIn(missing, str(caught.exception))
        self.assertFalse((self.root / "out" / changed).exists())


def tar_of(*members):
    """A tar file of (name, content) or of finished members."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            archive.addfile(info, io.BytesIO(member[1]))
    stream.seek(0)
    return stream


def rcc_of(name, content, packed=True, child=1):
    """A Qt resource file with one file."""
    data = struct.pack(">I", len(content)) + zlib.compress(content) if packed else content
    tree = struct.pack(">IHII", 0, 2, 1, child) + struct.pack(">IHII", 0, 1 if packed else 0, 0, 0)
    contents = struct.pack(">I", len(data)) + data
    names = struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    head = struct.pack(">4s4I", b"qres", 1, 20, 20 + len(tree), 20 + len(tree) + len(contents))
    return head + tree + contents + names


class Unpacking(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.target = self.root / "target"

    def tar(self, *members, wanted=lambda name: True, **more):
        return unpack.unpack_tar(tar_of(*members), wanted, self.target, **more)

    def written(self):
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*")
                      if not path.is_dir())

    def test_wanted_files_alone(self):
        names = self.tar(("package/a", b"1"), ("package/sub/b", b"2"), ("package/c", b"3"), strip=1,
                         wanted=lambda name: name in ("a", "sub/b"))
        self.assertEqual(names, {"a", "sub/b"})
        self.assertEqual(self.written(), ["target/a", "target/sub/b"])

    def test_names_that_leave_the_folder(self):
        for name in ("../evil", "a/../../evil", "/evil", "a\\..\\evil"):
            with self.assertRaisesRegex(common.Problem, "leaves the folder"):
                self.tar((name, b"x"))
        self.assertEqual(self.written(), [])

    def test_stripping_cannot_make_a_name_absolute(self):
        with self.assertRaises(common.Problem):
            self.tar(("package//../../evil", b"x"), strip=1)
        self.assertEqual(self.written(), [])

    def test_links_and_devices(self):
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            with self.assertRaisesRegex(common.Problem, "no plain file"):
                self.tar(info)
        self.assertEqual(self.written(), [])

    def test_targets_of_links(self):
        info = tarfile.TarInfo("a/link")
        info.type, info.linkname = tarfile.SYMTYPE, "../../evil"
        links = {}
        self.assertEqual(self.tar(info, links=links), set())
        self.assertFalse(common.is_safe_name(links["a/link"]))

    def test_damaged_archive(self):
        with self.assertRaisesRegex(common.Problem, "damaged"):
            unpack.unpack_tar(io.BytesIO(b"no archive" * 100), lambda name: True, self.target)

    def rcc(self, data):
        path = self.root / "file.rcc"
        path.write_bytes(data)
        try:
            return unpack.unpack_rcc(path, lambda name: True, self.target)
        finally:
            path.unlink()

    def test_resource_file(self):
        for packed in (True, False):
            self.assertEqual(self.rcc(rcc_of("name", b"content", packed)), {"name"})
            self.assertEqual((self.target / "name").read_bytes(), b"content")

    def test_hostile_resource_files(self):
        good = rcc_of("name", b"content")
        for bad in (rcc_of("../evil", b"x"), rcc_of("/evil", b"x"), rcc_of("name", b"x", child=0),
                    good[:-4], good[:30], b"qres", good.replace(b"qres", b"rcc!")):
            with self.assertRaises(common.Problem):
                self.rcc(bad)
        self.assertEqual(self.written(), [])


class Tables(unittest.TestCase):
    """The tables in the repository fit together and keep the rules."""

    def test_manifest_of_the_tables(self):
        sums = common.read_sums()
        self.assertEqual(verify.check_manifest(build_manifest.manifest(), sums), [])

    def test_manifest_is_the_pinned_one(self):
        with tempfile.TemporaryDirectory() as folder:
            build_manifest.build(folder)
            for name in ("manifest.jsonl", "concepts.tsv"):
                self.assertEqual(common.sha256_file(Path(folder, name)), common.read_sums()[name])

    def test_sources(self):
        sources = common.read_sources()
        for package, files in fetch.wanted_files(sources).items():
            self.assertTrue(files, package)
            self.assertTrue(all(map(common.is_safe_name, files)), package)
            digits = {"debian": 64, "git": 40, "npm": 1}[sources[package]["kind"]]
            self.assertEqual(len(sources[package]["pin"]), digits, package)

    def test_contents_are_pinned(self):
        rows = verify.read_contents().values()
        unpinned = {row["package"] for row in rows if row["content"] == "-"}
        self.assertLessEqual(unpinned, {"arianne/stendhal"})


class Options(unittest.TestCase):
    def test_errors_name_the_option(self):
        for argv, told in ((["colour=red"], "colour"), ([], "out="), (["out"], "out")):
            with self.assertRaisesRegex(common.Problem, told):
                common.options("", argv, required=["out"])
        with self.assertRaisesRegex(common.Problem, "fetch=maybe"):
            common.yes("fetch", "maybe")


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    failed = len(result.failures) + len(result.errors) + len(result.skipped)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed != 0)
