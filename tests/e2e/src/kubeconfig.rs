//! Files by which a user finds the API server and says who it is.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::certificates::Certificate;
use crate::error::E2eError;

/// Who the user is.
pub(crate) enum Identity<'a> {
    /// By a certificate of the server's client authority.
    Certificate(&'a Certificate),
    /// By a ServiceAccount's token.
    Token(&'a str),
}

/// Writes a kubeconfig for `user` of the server at `url`, whose certificate `authority` (PEM) signed.
///
/// Certificates and keys lie beside it, as their PEM files: `NAME.ca.crt` and so on.
pub(crate) fn write(path: &Path, url: &str, authority: &str, user: &Identity<'_>) -> Result<(), E2eError> {
    let beside = |what: &str, text: &str| -> Result<String, E2eError> {
        let file = path.with_extension(what);
        fs::write(&file, text).map_err(E2eError::file(&file))?;
        Ok(file.to_string_lossy().into_owned())
    };
    let user: Value = match user {
        Identity::Certificate(Certificate { certificate, key }) => json!({
            "client-certificate": beside("crt", certificate)?, "client-key": beside("key", key)?,
        }),
        Identity::Token(token) => json!({ "token": token }),
    };
    let authority = beside("ca.crt", authority)?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": { "server": url, "certificate-authority": authority } }],
        "users": [{ "name": "lab", "user": user }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "lab" } }],
    });
    fs::write(path, config.to_string()).map_err(E2eError::file(path))
}
