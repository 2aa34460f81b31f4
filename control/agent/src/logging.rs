//! Logs, on stderr. Workers never log.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging. Called once.
pub(crate) fn start(log: Log) {
    let lines =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(log.level.as_str())).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
}
