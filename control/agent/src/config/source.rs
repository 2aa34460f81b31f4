//! The keys of where the objects come from: a directory of manifests, or the Kubernetes API.
//!
//! As in `keys.rs`, a key is a flag; `check` turns them into the checked [`Source`].

use std::path::PathBuf;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::check::absolute;
use super::{ConfigError, Surroundings};

/// The keys of `source`. One of its two sides is set, or none where the process is in a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceKeys {
    /// Directory of manifests
    #[arg(long = "source-directory", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// The Kubernetes API.
    #[command(flatten)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesKeys>,
}

/// The keys of `source.kubernetes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct KubernetesKeys {
    /// File that tells how to reach the Kubernetes API [default: the service account of the pod that sluiced is in]
    #[arg(long = "source-kubernetes-kubeconfig", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of that file [default: its current-context]
    #[arg(long = "source-kubernetes-context", value_name = "NAME")]
    pub context: Option<String>,
    /// URL of the API server, in place of the one that the kubeconfig or the pod's environment names. It must not lead
    /// through a Service, as the node's Services are served by what is read there
    #[arg(long = "source-kubernetes-server", value_name = "URL")]
    pub server: Option<String>,
}

/// Where the objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory of manifests.
    Directory(PathBuf),
    /// The Kubernetes API.
    Kubernetes(Kubernetes),
}

/// How the Kubernetes API is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// The kubeconfig; `None` for the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None` for its current one.
    pub context: Option<String>,
    /// The API server's URL, in place of what those say.
    pub server: Option<String>,
}

impl SourceKeys {
    /// A directory of manifests.
    pub fn of_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: Some(directory.into()), kubernetes: None }
    }

    /// Whoever names one kind of source means it in place of the other kind.
    pub(super) fn over(self, base: Self) -> Self {
        match self {
            Self { directory: None, kubernetes: None } => base,
            Self { directory: None, kubernetes: Some(keys) } => {
                Self { directory: None, kubernetes: Some(keys.over(base.kubernetes.unwrap_or_default())) }
            }
            both => both,
        }
    }
}

impl KubernetesKeys {
    fn over(self, base: Self) -> Self {
        let Self { kubeconfig, context, server } = self;
        Self {
            kubeconfig: kubeconfig.or(base.kubeconfig),
            context: context.or(base.context),
            server: server.or(base.server),
        }
    }
}

impl From<&Source> for SourceKeys {
    fn from(source: &Source) -> Self {
        match source {
            Source::Directory(directory) => Self::of_directory(directory),
            Source::Kubernetes(Kubernetes { kubeconfig, context, server }) => {
                let (kubeconfig, context, server) = (kubeconfig.clone(), context.clone(), server.clone());
                Self { directory: None, kubernetes: Some(KubernetesKeys { kubeconfig, context, server }) }
            }
        }
    }
}

pub(super) fn check(keys: SourceKeys, surroundings: &Surroundings) -> Result<Source, ConfigError> {
    match keys {
        SourceKeys { directory: Some(_), kubernetes: Some(_) } => Err(ConfigError::TwoSources),
        SourceKeys { directory: Some(directory), kubernetes: None } => {
            Ok(Source::Directory(absolute("source.directory", directory)?))
        }
        SourceKeys { directory: None, kubernetes: Some(keys) } => check_kubernetes(keys, surroundings.in_cluster),
        SourceKeys { directory: None, kubernetes: None } if surroundings.in_cluster => {
            Ok(Source::Kubernetes(Kubernetes::default()))
        }
        SourceKeys { directory: None, kubernetes: None } => Err(ConfigError::NoSource),
    }
}

fn check_kubernetes(keys: KubernetesKeys, in_cluster: bool) -> Result<Source, ConfigError> {
    let KubernetesKeys { kubeconfig, context, server } = keys;
    let set = |text: &String| !text.is_empty();
    let (context, server) = (context.filter(set), server.filter(set));
    if kubeconfig.is_none() {
        if let Some(context) = context {
            return Err(ConfigError::ContextWithoutFile { context });
        }
        if !in_cluster {
            return Err(ConfigError::NoKubeconfig);
        }
    }
    let kubeconfig = kubeconfig.map(|path| absolute("source.kubernetes.kubeconfig", path)).transpose()?;
    let server = server.map(check_server).transpose()?;
    Ok(Source::Kubernetes(Kubernetes { kubeconfig, context, server }))
}

fn check_server(value: String) -> Result<String, ConfigError> {
    let good = value.parse::<Uri>().is_ok_and(|uri| {
        let scheme = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "https" | "http"));
        scheme && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    });
    if good { Ok(value) } else { Err(ConfigError::BadServer { value }) }
}
