//! Events of whichever source there is, each with the time of its arrival.

use std::time::Instant;

use anyhow::Context;
use sluice_source::{Event, Timing, kube};
use tokio::sync::mpsc;

use crate::config::{Config, Kubernetes, Source};

/// Events that wait while a generation is made; the source waits when there are more.
const BACKLOG: usize = 4096;

/// An event, and when it came.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The event.
    pub(crate) event: Event,
    /// When it came.
    pub(crate) at: Instant,
}

/// The events of the source. Dropping it ends the source's work.
#[derive(Debug)]
pub(crate) struct Feed {
    arrivals: mpsc::Receiver<Arrival>,
}

enum Watch {
    Directory(sluice_source::Watch),
    Kubernetes(kube::Watch),
}

impl Watch {
    async fn recv(&mut self) -> Option<Event> {
        match self {
            Self::Directory(watch) => watch.recv().await,
            Self::Kubernetes(watch) => watch.recv().await,
        }
    }
}

/// The way to the API, where it is the source.
pub(crate) fn access(kubernetes: &Kubernetes) -> anyhow::Result<kube::Access> {
    let Kubernetes { kubeconfig, context, server, .. } = kubernetes;
    let access = match kubeconfig {
        Some(path) => kube::Access::kubeconfig(path, context.clone()),
        None => kube::Access::in_cluster(),
    };
    match server {
        Some(server) => access.with_server(server).context("source.kubernetes.server"),
        None => Ok(access),
    }
}

impl Feed {
    /// Starts to follow the source. To be called in a tokio runtime. With the API as the source there is also how its watches fare.
    pub(crate) fn start(config: &Config) -> anyhow::Result<(Self, Option<kube::Status>)> {
        let (watch, status) = match &config.source {
            Source::Directory(directory) => {
                let watch = sluice_source::watch(directory, Timing::default()).context("watching the manifests")?;
                (Watch::Directory(watch), None)
            }
            Source::Kubernetes(kubernetes) => {
                let (answer, quiet) = (kubernetes.answer_timeout, kubernetes.quiet_timeout);
                let timing = kube::Timing { answer, quiet, ..kube::Timing::default() };
                let watch = kube::watch_for(config.node_name.clone(), access(kubernetes)?, timing);
                let status = watch.status();
                (Watch::Kubernetes(watch), Some(status))
            }
        };
        let (sender, arrivals) = mpsc::channel(BACKLOG);
        tokio::spawn(forward(watch, sender));
        Ok((Self { arrivals }, status))
    }

    /// The next event; `None` once the source has ended, which it does not by itself. Cancel safe.
    pub(crate) async fn recv(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// The next event when there is one already.
    pub(crate) fn try_recv(&mut self) -> Option<Arrival> {
        self.arrivals.try_recv().ok()
    }
}

/// Apart from those who act on them, so that an event that waits for the one before it has been noted.
async fn forward(mut watch: Watch, sender: mpsc::Sender<Arrival>) {
    loop {
        let event = tokio::select! {
            event = watch.recv() => event,
            () = sender.closed() => return,
        };
        let Some(event) = event else { return };
        if sender.send(Arrival { event, at: Instant::now() }).await.is_err() {
            return;
        }
    }
}
