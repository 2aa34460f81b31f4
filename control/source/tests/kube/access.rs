//! Where the server is, and by what it is known.

use std::path::Path;

use sluice_source::kube::{Access, AccessError};

use crate::certificates::Authority;
use crate::server::{Reply, Server, bookmark, line, pod};
use crate::told::{Told, kubeconfig, timing};

fn list(name: &str, version: u64) -> Reply {
    Reply::lines(&[line("ADDED", &pod(name, version)), bookmark("Pod", version, true)])
}

/// The line of a kubeconfig's cluster that names a file.
fn authority_file(directory: &Path, authority: &Authority) -> String {
    let path = directory.join("ca.pem");
    std::fs::write(&path, authority.pem()).expect("the authority");
    format!("    certificate-authority: {}", path.display())
}

#[tokio::test]
async fn a_server_with_other_certificates_is_not_trusted_until_the_kubeconfig_has_them() {
    let (first, second) = (Authority::new(), Authority::new());
    // Where no other test listens, so that none gets the port between the two.
    let server = Server::start_at("127.0.0.2:0", Some(first.acceptor())).await;
    let address = server.address.to_string();
    server.answer_pods([list("a", 3)]);
    let directory = tempfile::tempdir().expect("a directory");
    let line = authority_file(directory.path(), &first);
    let path = kubeconfig(directory.path(), &format!("https://{address}"), &line);
    let mut told = Told::from(directory, Access::kubeconfig(&path, None), timing());
    told.expect(&["apply Pod default/a"]).await;
    told.until_synced().await;
    drop(server);
    let server = Server::start_at(&address, Some(second.acceptor())).await;
    server.answer_pods([Reply::status(410, "a new store"), list("b", 2)]);
    let fault = told.fault_with("certificate is not trusted").await;
    assert!(fault.contains("give the kubeconfig"), "{fault}");
    authority_file(told.directory.path(), &second);
    told.until("apply Pod default/b").await;
    told.until("delete Pod default/a").await;
}

#[tokio::test]
async fn a_kubeconfig_that_comes_late_is_read() {
    let server = Server::start().await;
    server.answer_pods([list("a", 3)]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kubeconfig");
    let mut told = Told::from(directory, Access::kubeconfig(&path, None), timing());
    told.fault_with(&format!("kubeconfig {}: failed to read kubeconfig", path.display())).await;
    kubeconfig(told.directory.path(), &format!("http://{}", server.address), "");
    told.until("apply Pod default/a").await;
}

#[tokio::test]
async fn what_answers_and_is_no_api_server_is_left_for_the_one_that_the_kubeconfig_names_now() {
    let (wrong, right) = (Server::start().await, Server::start().await);
    let page = Reply::json(200, "<html></html>").header("content-type", "text/html");
    wrong.answer_pods(vec![page; 100]);
    right.answer_pods([list("a", 3)]);
    let mut told = Told::of(&wrong);
    told.fault_with("is this the API server?").await;
    kubeconfig(told.directory.path(), &format!("http://{}", right.address), "");
    told.until("apply Pod default/a").await;
}

#[tokio::test]
async fn a_context_that_is_not_in_the_kubeconfig_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = kubeconfig(directory.path(), "http://127.0.0.1:1", "");
    let mut told = Told::from(directory, Access::kubeconfig(&path, Some("nowhere".to_owned())), timing());
    told.fault_with("failed to load current context: nowhere").await;
}

#[tokio::test]
async fn a_server_that_is_named_takes_the_place_of_that_of_the_kubeconfig() {
    let server = Server::start().await;
    server.answer_pods([list("a", 3)]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = kubeconfig(directory.path(), "http://127.0.0.1:2", "");
    let access = Access::kubeconfig(&path, Some("elsewhere".to_owned()));
    let access = access.with_server(&format!("http://{}", server.address)).expect("a URL");
    Told::from(directory, access, timing()).expect(&["apply Pod default/a"]).await;
}

#[tokio::test]
async fn a_service_account_knows_the_server_by_its_authority_and_shows_its_token() {
    let authority = Authority::new();
    let server = Server::start_at("127.0.0.1:0", Some(authority.acceptor())).await;
    server.answer_pods([list("a", 3)]);
    let directory = tempfile::tempdir().expect("a directory");
    let access = Access::service_account(directory.path());
    let access = access.with_server(&format!("https://{}", server.address)).expect("a URL");
    let mut told = Told::from(directory, access, timing());
    told.fault_with("token: No such file").await;
    std::fs::write(told.directory.path().join("ca.crt"), authority.pem()).expect("the authority");
    // As a whole, so that no empty one is read.
    let (new, token) = (told.directory.path().join("token.new"), told.directory.path().join("token"));
    std::fs::write(&new, "of-the-pod").and_then(|()| std::fs::rename(&new, &token)).expect("the token");
    told.until("apply Pod default/a").await;
    let asked = server.asked("pods");
    assert_eq!(asked[0].headers.get("authorization").map(String::as_str), Some("Bearer of-the-pod"));
}

#[test]
fn what_is_no_url_of_a_server_is_refused() {
    for bad in ["", "192.0.2.1:6443", "ftp://192.0.2.1", "/path", "https://"] {
        let refused = Access::in_cluster().with_server(bad);
        assert_eq!(refused, Err(AccessError::BadServer { value: bad.to_owned() }), "{bad}");
    }
    assert!(Access::in_cluster().with_server("https://[2001:db8::1]:6443").is_ok());
}
