//! What `make demo` and `make test` say before they build anything, when they could not do their work.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a script of `setup/` under `setpriv` with `limits`. The script comes on standard input, so that whoever runs it need
/// not be able to read the checkout.
fn limited(limits: &[&str], script: &str, arguments: &[&str]) -> Output {
    sluice_netns::require_root();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../setup").join(script);
    let script = File::open(&script).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let mut command = Command::new("setpriv");
    command.args(limits).args(["bash", "-s", "--"]).args(arguments).stdin(script).current_dir("/");
    command.output().expect("setpriv is part of util-linux")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_root_the_remedy_is_the_whole_command() {
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let refused = limited(&nobody, "privileges", &["make", "demo"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = said(&refused);
    for word in ["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_BPF", "sudo", "make demo", "make test-unit"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn root_without_a_capability_is_told_which_and_how_to_get_it() {
    let refused = limited(&["--bounding-set", "-bpf"], "privileges", &["make", "test"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = said(&refused);
    assert!(text.contains("CAP_BPF") && text.contains("--cap-add BPF"), "{text}");
    assert!(!text.contains("CAP_NET_RAW "), "what is there is not named as missing: {text}");
}

#[test]
fn with_everything_there_it_says_nothing() {
    for (script, arguments) in [("privileges", &["make", "test"][..]), ("packages", &[])] {
        let output = limited(&[], script, arguments);
        assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }
}
