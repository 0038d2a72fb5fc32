//! The runner's protocol and paths; what it does to processes is tested through the engine.

use super::*;

#[test]
fn a_job_is_read_to_its_last_byte_and_no_further() {
    let mut bytes = vec![VERSION];
    bytes.extend(1500u64.to_le_bytes());
    bytes.extend(99u64.to_le_bytes());
    for list in [&["echo", "a b"][..], &["K=V"], &[]] {
        bytes.extend((list.len() as u32).to_le_bytes());
        for item in list {
            bytes.extend((item.len() as u32).to_le_bytes());
            bytes.extend(item.as_bytes());
        }
    }
    bytes.extend(2u32.to_le_bytes());
    bytes.extend(b"in");
    let job = Job {
        wall: Duration::from_millis(1500),
        output_cap: 99,
        argv: vec!["echo".into(), "a b".into()],
        env: vec!["K=V".into()],
        collect: vec![],
        stdin: b"in".to_vec(),
    };
    let mut rest = &[&bytes[..], b"rest"].concat()[..];
    assert_eq!(Job::read(&mut rest).unwrap(), job);
    assert_eq!(rest, b"rest");
    for cut in 0..bytes.len() {
        let error = Job::read(&mut &bytes[..cut]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
    }
}

#[test]
fn files_stay_below_work_and_tmp() {
    let check = |name: &str, expect: Option<&str>| {
        assert_eq!(place(OsStr::new(name)), expect.map(PathBuf::from), "{name:?}");
    };
    check("a.py", Some("/work/a.py"));
    check("a/b.py", Some("/work/a/b.py"));
    check("./a.py", Some("/work/./a.py"));
    check("/work/a", Some("/work/a"));
    check("/tmp/a", Some("/tmp/a"));
    for outside in ["", "/", "..", "../a", "a/../../b", "/etc/passwd", "/tmp", "/work", "/tmpx/a", "a\0b"] {
        check(outside, None);
    }
}
