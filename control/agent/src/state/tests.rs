//! The file comes back as it was written, survives a crash at any point, and is refused when it is not whole.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn attachment(number: u16) -> StoredAttachment {
    StoredAttachment {
        container_id: format!("c{number}"),
        ifname: "eth0".into(),
        netns: format!("/run/netns/n{number}").into(),
        host_veth: format!("slu{number:011x}"),
        mac: [2, 0, 0, 0, (number >> 8) as u8, number as u8],
        addresses: vec![IpAddr::from([10, 1, (number >> 8) as u8, number as u8])],
        pod_namespace: "default".into(),
        pod_name: format!("p{number}"),
        pod_uid: None,
        port: number,
        network: "sluice".into(),
        requested: Requested::default(),
    }
}

fn state(numbers: &[u16]) -> State {
    let attachments = numbers.iter().copied().map(attachment).collect();
    State { attachments, cooling: vec!["10.1.9.9".parse().unwrap(), "fd00::9".parse().unwrap()] }
}

fn open() -> (tempfile::TempDir, StateFile) {
    let directory = tempfile::tempdir().unwrap();
    let file = StateFile::open(&directory.path().join("deep/er")).unwrap();
    (directory, file)
}

/// What a load of this text says.
fn refusal(text: &str) -> StateError {
    let (_directory, file) = open();
    fs::write(file.path(), text).unwrap();
    let error = file.load().expect_err("must be refused");
    assert!(error.is_refusal() && error.to_string().contains("state.json"), "{error}");
    assert!(error.to_string().contains("move it aside"), "the remedy is missing: {error}");
    error
}

#[test]
fn a_missing_file_is_no_state_and_no_error() {
    assert_eq!(open().1.load().unwrap(), None);
}

#[test]
fn what_was_saved_is_loaded_and_is_for_root_only() {
    let (_directory, file) = open();
    for numbers in [&[1u16, 2, 3][..], &[], &[300]] {
        file.save(&state(numbers)).unwrap();
        assert_eq!(file.load().unwrap(), Some(state(numbers)));
    }
    assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_crash_before_the_rename_keeps_the_old_state() {
    let (_directory, file) = open();
    file.save(&state(&[1])).unwrap();
    file.write_temporary(&state(&[2])).unwrap();
    assert_eq!(file.load().unwrap(), Some(state(&[1])));
    // Cut short in the middle of the write.
    fs::write(file.directory.join(TEMPORARY), "{\"versi").unwrap();
    assert_eq!(file.load().unwrap(), Some(state(&[1])));
    file.save(&state(&[3])).unwrap();
    assert_eq!(file.load().unwrap(), Some(state(&[3])));
    assert!(!file.directory.join(TEMPORARY).exists());
}

#[test]
fn a_file_cut_short_at_any_byte_is_refused() {
    let (_directory, file) = open();
    file.save(&state(&[1])).unwrap();
    let whole = fs::read(file.path()).unwrap();
    // Without its last line end it is still whole.
    for length in 0..whole.len() - 1 {
        fs::write(file.path(), &whole[..length]).unwrap();
        assert!(matches!(file.load(), Err(StateError::Corrupt { .. })), "{length} bytes");
    }
}

#[test]
fn what_was_asked_for_is_kept_and_a_file_of_version_1_has_nothing_of_it() {
    let (_directory, file) = open();
    let mut kept = state(&[1]);
    kept.attachments[0].requested = serde_json::from_value(serde_json::json!({
        "portMappings": [{"hostIP": "192.0.2.1", "hostPort": 80, "protocol": "tcp", "containerPort": 8080}],
        "bandwidth": {"ingress": {"bitsPerSecond": 1000, "burstBits": u64::MAX}},
        "defaultRoute": false, "routes": ["10.0.0.0/8"],
    }))
    .unwrap();
    file.save(&kept).unwrap();
    assert_eq!(file.load().unwrap(), Some(kept));
    file.save(&state(&[1])).unwrap();
    let mut written: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    written["version"] = 1.into();
    written["state"]["attachments"][0].as_object_mut().unwrap().remove("requested").expect("it is there");
    fs::write(file.path(), written.to_string()).unwrap();
    assert_eq!(file.load().unwrap(), Some(state(&[1])));
}

#[test]
fn another_version_is_refused_by_its_number() {
    let error = refusal(r#"{"version": 7, "whatever": []}"#);
    assert!(matches!(error, StateError::UnknownVersion { found: 7, .. }));
    assert!(error.to_string().contains("version 7"), "{error}");
}

#[test]
fn what_is_no_state_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"version": "1"}"#,
        r#"{"version": 1}"#,
        r#"{"version": 1, "state": {"attachments": []}}"#,
        r#"{"version": 1, "state": {"attachments": [], "cooling": [], "more": 1}}"#,
        r#"{"version": 1, "state": {"attachments": [], "cooling": ["10.0.0"]}}"#,
        r#"{"version": 1, "state": {"attachments": [], "cooling": []}} x"#,
    ] {
        assert!(matches!(refusal(text), StateError::Corrupt { .. }), "{text}");
    }
}

#[test]
fn claims_of_one_thing_by_two_are_refused() {
    let text = |second: StoredAttachment| {
        let state = State { attachments: vec![attachment(1), second], cooling: Vec::new() };
        serde_json::to_string(&Stored { version: VERSION, state }).unwrap()
    };
    let said = |second: StoredAttachment| refusal(&text(second)).to_string();
    assert!(said(StoredAttachment { container_id: "c1".into(), ..attachment(2) }).contains("eth0 twice"));
    assert!(said(StoredAttachment { port: 1, ..attachment(2) }).contains("c1 and c2 have one port 1"));
    let addresses = attachment(1).addresses;
    assert!(said(StoredAttachment { addresses, ..attachment(2) }).contains("one address 10.1.0.1"));
}

#[test]
fn refused_files_are_set_aside_and_kept() {
    let (_directory, file) = open();
    let mut targets = Vec::new();
    for number in 0..SET_ASIDE_LIMIT + 2 {
        fs::write(file.path(), format!("bad {number}")).unwrap();
        targets.push(file.set_aside().unwrap());
        assert_eq!(file.load().unwrap(), None);
    }
    assert!(targets[0].ends_with("state.json.refused-1") && targets[1].ends_with("state.json.refused-2"));
    assert_eq!(fs::read_to_string(&targets[0]).unwrap(), "bad 0");
    targets.dedup();
    assert_eq!(targets.len(), SET_ASIDE_LIMIT as usize, "only so many are kept");
}

#[test]
fn a_directory_that_cannot_be_is_an_error_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = StateFile::open(&file.join("state")).unwrap_err();
    assert!(!error.is_refusal() && error.to_string().contains("file/state"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_state_comes_back(
        numbers in proptest::collection::btree_set(any::<u16>(), 0..20),
        netns in "/[^\\x00]{0,40}",
        pod in any::<String>(),
        uid in proptest::option::of(any::<String>()),
        mac in any::<[u8; 6]>(),
        v6 in any::<[u8; 16]>(),
        cooling in proptest::collection::vec(any::<IpAddr>(), 0..10),
    ) {
        let mut state = state(&numbers.into_iter().collect::<Vec<_>>());
        state.cooling = cooling;
        if let Some(first) = state.attachments.first_mut() {
            first.netns = netns.into();
            first.pod_name = pod;
            first.pod_uid = uid;
            first.mac = mac;
            first.addresses.push(IpAddr::from(v6));
        }
        let (_directory, file) = open();
        file.save(&state).unwrap();
        prop_assert_eq!(file.load().unwrap(), Some(state));
    }
}

/// Bytes that are refused or give a state which the ledger takes, and which is written and read as it is.
fn exercise(bytes: &[u8]) {
    let state = match parse(Path::new("state.json"), bytes) {
        Ok(state) => state,
        Err(error) => {
            assert!(error.is_refusal() && error.to_string().contains("state.json"), "{error}");
            return;
        }
    };
    let written = serde_json::to_vec(&Stored { version: VERSION, state: &state }).unwrap();
    assert_eq!(parse(Path::new("state.json"), &written).unwrap(), state);
    let (_directory, file) = open();
    let ledger = crate::ledger::Ledger::restore(file, state.clone()).unwrap();
    ledger.set_networks(&["10.1.0.0/16".parse().unwrap()]).unwrap();
    assert!(ledger.all().len() <= state.attachments.len());
    for (id, stored, _) in ledger.all() {
        assert!(stored.port != 0 && crate::link_name::is_host_link_name(&stored.host_veth), "{stored:?}");
        ledger.forget(&id);
    }
    assert_eq!(ledger.usage()[0].in_use, 0, "every address has come back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_bytes_are_refused_or_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        exercise(&bytes);
    }

    #[test]
    fn a_good_file_with_changes_is_refused_or_taken(
        changes in proptest::collection::vec(
            (any::<proptest::sample::Index>(), proptest::sample::select(b"{}[]:,\"\\\0 0129-.eE/aznu\xff".as_slice())),
            1..4,
        ),
        from in any::<proptest::sample::Index>(),
        cut in 0..8usize,
    ) {
        let state = state(&[1, 2, 300]);
        let mut bytes = serde_json::to_vec(&Stored { version: VERSION, state }).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let from = from.index(bytes.len());
        bytes.drain(from..(from + cut).min(bytes.len()));
        exercise(&bytes);
    }
}
