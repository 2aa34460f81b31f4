//! Why the Kubernetes API does not give what it is asked for.

use std::time::Duration;

/// Why a list or a watch failed, and what to do about it. Displayed on one line; texts of the server are cut to a length
/// that a log can bear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The rights are missing (HTTP 403).
    #[error("{verb} {resource} is forbidden; grant {} of {resource} to sluiced (the server says: {message})", grant(.verb))]
    Forbidden {
        /// What was asked for, as RBAC calls it: `list`, `watch`, `patch`.
        verb: &'static str,
        /// The resource with its group, as RBAC writes it: `endpointslices.discovery.k8s.io`.
        resource: &'static str,
        /// What the server says.
        message: String,
    },
    /// The server does not know who asks (HTTP 401).
    #[error(
        "the server does not accept the credentials; renew the token or the client certificate (it says: {message})"
    )]
    Unauthorized {
        /// What the server says.
        message: String,
    },
    /// The certificate of one of the two is not trusted by the other.
    #[error("{reason}; give the kubeconfig, or the service account, the certificates that the server has now")]
    Certificate {
        /// Whose certificate, and what is wrong with it.
        reason: String,
    },
    /// The files with the credentials cannot be used.
    #[error("{reason}")]
    Access {
        /// Which, and what is wrong with it.
        reason: String,
    },
    /// No connection to the server.
    #[error("the server cannot be reached: {reason}")]
    Unreachable {
        /// What was tried, and what failed.
        reason: String,
    },
    /// A connection on which nothing comes.
    #[error("the server has said nothing for {} s", .after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// The answer ended before it was whole.
    #[error("the server ended its answer before it was whole{reason}")]
    Ended {
        /// What is known of it, with a colon before; or nothing.
        reason: String,
    },
    /// The answer is not what the API says it is.
    #[error("the server's answer makes no sense: {reason}; is this the API server?")]
    Garbage {
        /// What is there instead.
        reason: String,
    },
    /// The server does not answer now (HTTP 429, 500, 503 and others).
    #[error("the server answers with status {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// The change that a watch was to go on from is forgotten (HTTP 410). The next list makes good for it.
    #[error("the server has forgotten the changes since resource version {resource_version:?}")]
    Gone {
        /// Where the watch or the list was to go on.
        resource_version: String,
    },
    /// The server does not have the Node of this node any more, so that what it lacks besides may be lost and not gone.
    #[error(
        "the server has no Node {node} any more, and may have lost its store: nothing is taken away until it has; put the \
         store back, or restart kubelet so that it registers the Node"
    )]
    NodeGone {
        /// The Node's name.
        node: String,
    },
}

/// The verbs to grant: those of a watch are needed together.
fn grant<'a>(verb: &&'a str) -> &'a str {
    match *verb {
        "list" | "watch" => "get, list and watch",
        verb => verb,
    }
}
