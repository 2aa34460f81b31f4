//! How the Kubernetes API is reached: where the server is, how it is known, and as whom it is asked.

use std::path::{Path, PathBuf};

use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};

/// Where a container finds its service account
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why the API cannot be reached with what is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {}: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The service account cannot be used.
    #[error("service account {}: {reason}", directory.display())]
    ServiceAccount {
        /// The directory with `token` and `ca.crt`.
        directory: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing says where the server is.
    #[error("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT name no server; configure the API server's URL")]
    NoServer,
    /// What is no URL of a server.
    #[error("\"{value}\" is no URL of a server; write it as https://192.0.2.10:6443")]
    BadServer {
        /// As configured.
        value: String,
    },
    /// Certificates, keys or tokens cannot be used.
    #[error("{reason}")]
    Credentials {
        /// Which, and what is wrong with them.
        reason: String,
    },
}

/// As whom the API is asked, and by what its server is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// The service account of the pod.
    ServiceAccount {
        /// The directory with `token` and `ca.crt`, which are read again as they change.
        directory: PathBuf,
    },
    /// A kubeconfig.
    Kubeconfig {
        /// The file, which is read again when the server can no longer be talked to.
        path: PathBuf,
        /// The context in it; `None` for its current one.
        context: Option<String>,
    },
}

/// How the API is reached. Its files are read at each new start of a connection, not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    credentials: Credentials,
    server: Option<http::Uri>,
}

impl Access {
    /// As a pod: its service account, and the server that its environment names unless one is named by
    /// [`Access::with_server`]. That server is behind a Service: a node that serves Services by what it reads there should
    /// be given another.
    pub fn in_cluster() -> Access {
        Access::service_account(Path::new(SERVICE_ACCOUNT))
    }

    /// The same with the service account in another directory.
    pub fn service_account(directory: &Path) -> Access {
        let credentials = Credentials::ServiceAccount { directory: directory.to_owned() };
        Access { credentials, server: None }
    }

    /// By a kubeconfig and a context in it, its current one when `None`.
    pub fn kubeconfig(path: &Path, context: Option<String>) -> Access {
        Access { credentials: Credentials::Kubeconfig { path: path.to_owned(), context }, server: None }
    }

    /// The same at another server, in place of the one that the environment or the kubeconfig names.
    ///
    /// # Errors
    /// [`AccessError::BadServer`] for what is not `http` or `https` with a host.
    pub fn with_server(self, server: &str) -> Result<Access, AccessError> {
        let bad = || AccessError::BadServer { value: server.to_owned() };
        let uri: http::Uri = server.parse().map_err(|_| bad())?;
        let scheme = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "http" | "https"));
        let host = uri.host().is_some_and(|host| !host.is_empty());
        if scheme && host { Ok(Access { server: Some(uri), ..self }) } else { Err(bad()) }
    }

    /// As whom the API is asked.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Reads the files now and says what they say together.
    pub(crate) async fn read(&self) -> Result<Config, AccessError> {
        let mut config = match &self.credentials {
            Credentials::ServiceAccount { directory } => read_service_account(directory, self.server.as_ref())?,
            Credentials::Kubeconfig { path, context } => read_kubeconfig(path, context.as_deref()).await?,
        };
        if let Some(server) = &self.server {
            config.cluster_url = server.clone();
        }
        Ok(config)
    }
}

async fn read_kubeconfig(path: &Path, context: Option<&str>) -> Result<Config, AccessError> {
    let bad = |error: kube::config::KubeconfigError| AccessError::Kubeconfig {
        path: path.to_owned(),
        reason: causes(&error),
    };
    let file = Kubeconfig::read_from(path).map_err(bad)?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(file, &options).await.map_err(bad)
}

fn read_service_account(directory: &Path, server: Option<&http::Uri>) -> Result<Config, AccessError> {
    let bad = |file: &Path, reason: String| AccessError::ServiceAccount {
        directory: directory.to_owned(),
        reason: format!("{}: {reason}", file.display()),
    };
    let server = match server {
        Some(server) => server.clone(),
        None => server_of_environment().ok_or(AccessError::NoServer)?,
    };
    let (token, authority) = (directory.join("token"), directory.join("ca.crt"));
    // The library reads both itself; here they are only looked at, to say which one is missing.
    for file in [&token, &authority] {
        std::fs::metadata(file)
            .map_err(|error| bad(Path::new(file.file_name().unwrap_or_default()), error.to_string()))?;
    }
    let mut config = Config::new(server);
    // The authority is taken from the file; a list that is there keeps the system's own authorities out.
    config.root_cert = Some(Vec::new());
    config.root_cert_file = Some(authority);
    config.auth_info = AuthInfo { token_file: Some(token.to_string_lossy().into_owned()), ..AuthInfo::default() };
    Ok(config)
}

/// What Kubernetes sets in the environment of every container.
fn server_of_environment() -> Option<http::Uri> {
    let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("https://{host}:{port}").parse().ok()
}

/// An error with its causes, each told once.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !told.contains(&text) {
            told = format!("{told}: {text}");
        }
        next = cause.source();
    }
    told
}
