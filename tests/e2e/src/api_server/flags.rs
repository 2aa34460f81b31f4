//! How kube-apiserver is told what it is to do.

use super::{PORT, Place, etcd};
use crate::cluster::SERVICE_RANGES;

/// The address of the `kubernetes` Service: the first of the first range.
pub(super) const KUBERNETES_SERVICE: &str = "10.96.0.1";

/// Admission that waits for controllers which are not there, or writes to Nodes and Pods what a test did not.
const WITHOUT: &str = "ServiceAccount,TaintNodesByCondition,DefaultTolerationSeconds,Priority";

/// One of `further` takes the place of one of ours with the same name.
pub(super) fn of(place: &Place, further: &[String]) -> Vec<String> {
    let file = |name: &str| place.file(name).to_string_lossy().into_owned();
    let advertised = place.addresses.first().map(ToString::to_string).unwrap_or_default();
    let replaced = |name: &str| further.iter().any(|flag| flag.split('=').next() == Some(&format!("--{name}")));
    let ours = [
        ("etcd-servers", etcd::URL.to_owned()),
        ("bind-address", "::".to_owned()),
        ("secure-port", PORT.to_string()),
        ("advertise-address", advertised),
        ("tls-cert-file", file("server.crt")),
        ("tls-private-key-file", file("server.key")),
        ("client-ca-file", file("users.crt")),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", file("tokens.pub")),
        ("service-account-signing-key-file", file("tokens.key")),
        ("service-cluster-ip-range", SERVICE_RANGES.join(",")),
        ("authorization-mode", "RBAC".to_owned()),
        ("disable-admission-plugins", WITHOUT.to_owned()),
        ("profiling", "false".to_owned()),
    ]
    .into_iter();
    let ours = ours.filter(|(name, _)| !replaced(name)).map(|(flag, value)| format!("--{flag}={value}"));
    ours.chain(further.iter().cloned()).collect()
}
