//! The keys of where the objects come from: a directory of manifests, or the Kubernetes API.
//!
//! As in `keys.rs`, a key is a flag; `check` turns them into the checked [`Source`].

use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::check::{absolute, within};
use super::{ConfigError, Surroundings};

/// Seconds that an answer may be waited for: what a slow network needs, and no more than ten minutes.
const ANSWER_TIMEOUT: (u64, u64) = (1, 600);
/// Seconds that a watch may be without a word. The server sends a bookmark about once a minute.
const QUIET_TIMEOUT: (u64, u64) = (1, 3600);
/// Events in a minute.
const EVENTS_PER_MINUTE: (u64, u64) = (1, 1000);

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
    /// Seconds that the API server may take to begin an answer or to go on with it, 1 to 600 [default: 30]
    #[arg(long = "source-kubernetes-answer-timeout", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_timeout: Option<u64>,
    /// Seconds without a word after which a watch is begun anew, 1 to 3600; the server sends a bookmark about once a minute
    /// [default: 90]
    #[arg(long = "source-kubernetes-quiet-timeout", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_timeout: Option<u64>,
    /// Events that this node makes in a minute at most, 1 to 1000 [default: 20]
    #[arg(long = "source-kubernetes-events-per-minute", value_name = "EVENTS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_minute: Option<u64>,
}

/// Where the objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A directory of manifests.
    Directory(PathBuf),
    /// The Kubernetes API.
    Kubernetes(Kubernetes),
}

/// How the Kubernetes API is reached, and how it is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// The kubeconfig; `None` for the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; `None` for its current one.
    pub context: Option<String>,
    /// The API server's URL, in place of what those say.
    pub server: Option<String>,
    /// How long an answer is waited for.
    pub answer_timeout: Duration,
    /// After how long without a word a watch is begun anew.
    pub quiet_timeout: Duration,
    /// Events in a minute, at most.
    pub events_per_minute: u32,
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            server: None,
            answer_timeout: Duration::from_secs(30),
            quiet_timeout: Duration::from_secs(90),
            events_per_minute: 20,
        }
    }
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
        let Self { kubeconfig, context, server, answer_timeout, quiet_timeout, events_per_minute } = self;
        Self {
            kubeconfig: kubeconfig.or(base.kubeconfig),
            context: context.or(base.context),
            server: server.or(base.server),
            answer_timeout: answer_timeout.or(base.answer_timeout),
            quiet_timeout: quiet_timeout.or(base.quiet_timeout),
            events_per_minute: events_per_minute.or(base.events_per_minute),
        }
    }
}

impl From<&Source> for SourceKeys {
    fn from(source: &Source) -> Self {
        match source {
            Source::Directory(directory) => Self::of_directory(directory),
            Source::Kubernetes(checked) => Self { directory: None, kubernetes: Some(KubernetesKeys::from(checked)) },
        }
    }
}

impl From<&Kubernetes> for KubernetesKeys {
    fn from(checked: &Kubernetes) -> Self {
        let Kubernetes { kubeconfig, context, server, answer_timeout, quiet_timeout, events_per_minute } = checked;
        Self {
            kubeconfig: kubeconfig.clone(),
            context: context.clone(),
            server: server.clone(),
            answer_timeout: Some(answer_timeout.as_secs()),
            quiet_timeout: Some(quiet_timeout.as_secs()),
            events_per_minute: Some((*events_per_minute).into()),
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
    let KubernetesKeys { kubeconfig, context, server, answer_timeout, quiet_timeout, events_per_minute } = keys;
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
    let seconds = |key, seconds: Option<u64>, default: Duration, range| {
        seconds.map_or(Ok(default), |seconds| within(key, seconds, range).map(Duration::from_secs))
    };
    let default = Kubernetes::default();
    let (answer, quiet) = ("source.kubernetes.answerTimeout", "source.kubernetes.quietTimeout");
    Ok(Source::Kubernetes(Kubernetes {
        kubeconfig,
        context,
        server,
        answer_timeout: seconds(answer, answer_timeout, default.answer_timeout, ANSWER_TIMEOUT)?,
        quiet_timeout: seconds(quiet, quiet_timeout, default.quiet_timeout, QUIET_TIMEOUT)?,
        events_per_minute: events_per_minute.map_or(Ok(default.events_per_minute), |events| {
            within("source.kubernetes.eventsPerMinute", events, EVENTS_PER_MINUTE)
        })?,
    }))
}

fn check_server(value: String) -> Result<String, ConfigError> {
    let good = value.parse::<Uri>().is_ok_and(|uri| {
        let scheme = uri.scheme_str().is_some_and(|scheme| matches!(scheme, "https" | "http"));
        scheme && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    });
    if good { Ok(value) } else { Err(ConfigError::BadServer { value }) }
}
