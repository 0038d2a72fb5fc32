//! What is brought back of a hostile tree. That nothing else runs meanwhile is tested through the engine.

use super::*;
use std::fs::write;
use std::io::{Seek, SeekFrom};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::process::Command;

/// The paths below `folder`, each with its content's length, that a pattern brings back.
fn collected(folder: &Path, pattern: &str) -> Vec<(OsString, u32)> {
    let mut file = tempfile::tempfile().unwrap();
    let mut wire = Wire(file.try_clone().unwrap());
    let mut collector =
        Collector { wire: &mut wire, bytes: SUM_MAX, looks: LOOKS_MAX, sent: HashSet::new(), buffer: vec![] };
    let parts: Vec<_> = Path::new(pattern).iter().collect();
    collector.walk(folder, &parts).unwrap();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let mut found: Vec<(OsString, u32)> = Vec::new();
    let mut rest = &bytes[..];
    while let Some((head, body)) = rest.split_at_checked(5) {
        let size = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let payload = &body[..size as usize];
        match head[0] {
            ARTEFACT => {
                let path = PathBuf::from(OsString::from_vec(payload.to_vec()));
                found.push((path.strip_prefix(folder).unwrap().into(), 0));
            }
            kind => {
                assert_eq!(kind, CONTENT);
                found.last_mut().unwrap().1 += size;
            }
        }
        rest = &body[size as usize..];
    }
    found
}

#[test]
fn a_pattern_finds_regular_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("a/b/c")).unwrap();
    for (path, size) in [("a/x.xml", 1), ("a/b/y.xml", 70_000), ("a/b/c/z.xml", 0), ("a/b/z.txt", 2)] {
        write(at(path), vec![b'x'; size]).unwrap();
    }
    write(at("a/b").join(OsStr::from_bytes(b"\xff\n.xml")), "odd").unwrap();
    write(at("secret.xml"), "secret").unwrap();
    symlink(at("secret.xml"), at("a/link.xml")).unwrap();
    symlink(folder.path(), at("a/b/up")).unwrap();
    symlink("a", at("also")).unwrap();
    assert!(Command::new("mkfifo").arg(at("a/pipe.xml")).status().unwrap().success());
    File::create(at("a/sparse.xml")).unwrap().set_len(FILE_MAX + 1).unwrap();
    let check = |pattern: &str, expect: &[(&[u8], u32)]| {
        let expect: Vec<_> =
            expect.iter().map(|(path, size)| (OsString::from_vec(path.to_vec()), *size)).collect();
        assert_eq!(collected(folder.path(), pattern), expect, "{pattern}");
    };
    check("a/x.xml", &[(b"a/x.xml", 1)]);
    check("a/*.xml", &[(b"a/x.xml", 1)]);
    let odd: (&[u8], u32) = (b"a/b/\xff\n.xml", 3);
    check("a/*/*.xml", &[(b"a/b/y.xml", 70_000), odd]);
    check("a/**/*.xml", &[(b"a/x.xml", 1), (b"a/b/y.xml", 70_000), odd, (b"a/b/c/z.xml", 0)]);
    check("a/b/**", &[(b"a/b/y.xml", 70_000), (b"a/b/z.txt", 2), odd, (b"a/b/c/z.xml", 0)]);
    check("**/**/z.*", &[(b"a/b/z.txt", 2), (b"a/b/c/z.xml", 0)]);
    for nothing in ["a", "a/b", "none", "also/x.xml", "also/*", "a/link.xml", "a/pipe.xml", "a/sparse.xml"] {
        check(nothing, &[]);
    }
}

#[test]
fn a_tree_without_end_is_left_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut deep = folder.path().to_owned();
    for _ in 0..DEPTH_MAX + 8 {
        write(deep.join("f"), "").unwrap();
        deep.push("d");
        fs::create_dir(&deep).unwrap();
    }
    let found = collected(folder.path(), "**/f");
    assert!(!found.is_empty() && found.len() <= DEPTH_MAX, "{}", found.len());
    for name in 0..=FILES_MAX {
        File::create(folder.path().join(name.to_string())).unwrap();
    }
    assert_eq!(collected(folder.path(), "*").len(), FILES_MAX);
    for name in 0..5 {
        write(folder.path().join(format!("large{name}")), vec![0; FILE_MAX as usize]).unwrap();
    }
    assert_eq!(collected(folder.path(), "large*").len(), (SUM_MAX / FILE_MAX) as usize);
}

#[test]
fn stars_stand_for_anything() {
    let check = |glob: &str, name: &str, expect| {
        assert_eq!(matches(glob.as_bytes(), name.as_bytes()), expect, "{glob} {name}");
    };
    for (glob, name) in [("*", ""), ("*", "a"), ("a*", "a"), ("*.xml", ".xml"), ("T*-*.x", "T-a-b.x")] {
        check(glob, name, true);
    }
    for (glob, name) in [("a*a", "a"), ("*.xml", "a.xmlx"), ("a*b*c", "acb"), ("*ab*b", "ab")] {
        check(glob, name, false);
    }
}
