//! One kind's list and watch: what to ask for next, and what to make of the answer.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant, SystemTime};

use sluice_model::Kind;
use tokio::sync::mpsc;

use crate::event::Event;
use crate::failure::Failure;
use crate::kube::answer::{Answer, Next};
use crate::kube::backoff::{Backoff, part, random};
use crate::kube::connection::{Connection, is_not_understood};
use crate::kube::decode::{self, Line, Page};
use crate::kube::known::Known;
use crate::kube::own_node::OwnNode;
use crate::kube::resource::{Resource, resource};
use crate::kube::setback::Setback;
use crate::kube::status::Status;
use crate::kube::teller::{Closed, Teller};
use crate::kube::version::Version;
use crate::kube::watch::Timing;

/// Objects that a page of a list has; the server may give fewer.
const PAGE: usize = 500;
/// The same when the server forgot the first pages before the last one was read. Pods may have 30 KiB each, and a page is in memory
/// whole.
const LARGE_PAGE: usize = 2_000;
/// A server that would not stream a list is asked again after this: it may have been replaced by a newer one.
const STREAM_AGAIN: Duration = Duration::from_secs(1800);

/// Why a round ends before its time.
enum Stop {
    /// Something failed.
    Setback(Setback),
    /// The server does not stream lists; they are read in pages.
    NoStream,
    /// Nobody listens any more.
    Closed,
}

impl<E: Into<Setback>> From<E> for Stop {
    fn from(error: E) -> Stop {
        Stop::Setback(error.into())
    }
}

/// The task of one kind.
pub(crate) struct Follower {
    resource: Resource,
    kind: Kind,
    connection: Arc<Connection>,
    own: Arc<OwnNode>,
    timing: Timing,
    teller: Teller,
    known: Known,
    /// Where the watch goes on; `None` when a list is due.
    resume: Option<String>,
    /// When the server last refused to stream a list.
    refused_stream: Option<Instant>,
    /// Objects asked for in a page of a list.
    page: usize,
    backoff: Backoff,
    /// Whether the server has forgotten where to go on, and nothing has gone well since.
    forgot: bool,
}

impl Follower {
    pub(crate) fn new(
        kind: Kind,
        connection: Arc<Connection>,
        own: Arc<OwnNode>,
        timing: Timing,
        events: mpsc::Sender<Event>,
        status: Status,
        unlisted: Arc<AtomicUsize>,
    ) -> Follower {
        Follower {
            resource: resource(kind),
            kind,
            connection,
            own,
            timing,
            teller: Teller::new(kind, events, status, unlisted),
            known: Known::new(),
            resume: None,
            refused_stream: None,
            page: PAGE,
            backoff: Backoff::new(timing.backoff, timing.backoff_limit),
            forgot: false,
        }
    }

    /// Follows the kind until nobody listens.
    pub(crate) async fn run(mut self) {
        loop {
            let setback = match self.round().await {
                Ok(()) => continue,
                Err(Stop::NoStream) => {
                    self.refused_stream = Some(Instant::now());
                    continue;
                }
                Err(Stop::Closed) => return,
                Err(Stop::Setback(setback)) => setback,
            };
            if matches!(setback.failure, Failure::Garbage { .. } | Failure::Certificate { .. }) {
                self.connection.renew().await;
            }
            let wait = self.backoff.after_failure(setback.retry_after, random());
            tracing::debug!(kind = %self.kind, failure = %setback.failure, ?wait, "tried again after a while");
            let gone = matches!(setback.failure, Failure::Gone { .. });
            if gone {
                self.resume = None;
            }
            if gone && !std::mem::replace(&mut self.forgot, true) {
                // A matter of course after a long break: the list makes good for it. But the watch behind it must not fail so too.
                self.teller.note_gone(setback.failure);
            } else if self.teller.failed(setback.failure).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.teller.closed() => return,
            }
        }
    }

    /// A list when one is due, and a watch until it ends in order.
    async fn round(&mut self) -> Result<(), Stop> {
        if self.resume.is_none() {
            self.check_own_node().await?;
            self.teller.lists();
            let refused_lately = self.refused_stream.is_some_and(|at| at.elapsed() < STREAM_AGAIN);
            if !refused_lately {
                let answer = self.ask_for_stream().await?;
                return self.watch(answer, true).await;
            }
            self.list().await?;
        }
        let at = self.resume.clone().unwrap_or_default();
        let path = format!("{}&resourceVersion={}", self.watch_path(), escape(&at));
        let answer = self.connection.get(&path).await;
        let answer = answer.map_err(|setback| setback.while_asking("watch", self.resource.name, &at))?;
        self.watch(answer, false).await
    }

    /// What a server tells anew is another's when it has lost its store: it is asked first for what it cannot lack.
    async fn check_own_node(&mut self) -> Result<(), Stop> {
        if !self.teller.has_listed() {
            return Ok(());
        }
        match self.own.check(&self.connection).await {
            Err(Setback { failure: Failure::NodeGone { .. }, .. }) => self.lose_own_node().await,
            checked => Ok(checked?),
        }
    }

    /// The own Node is gone, and whoever listens is told so; but nothing else goes.
    async fn lose_own_node(&mut self) -> Result<(), Stop> {
        if let (Kind::Node, Some(own)) = (self.kind, self.own.expected()) {
            let events = self.known.forget(&own);
            self.tell(events).await?;
        }
        Err(self.own.gone().into())
    }

    fn watch_path(&self) -> String {
        let bound = self.timing.watch + part(self.timing.watch, random());
        format!("{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={}", self.resource.path, bound.as_secs().max(1))
    }

    /// A watch that begins with all objects there are.
    async fn ask_for_stream(&mut self) -> Result<Answer, Stop> {
        let path = format!("{}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", self.watch_path());
        self.connection.get(&path).await.map_err(|setback| self.without_stream(setback))
    }

    /// A server that does not know streaming lists says so in one of several ways: with a status of its own, or, where its store
    /// cannot tell how far it is, in the middle of the stream.
    fn without_stream(&self, setback: Setback) -> Stop {
        match &setback.failure {
            Failure::Refused { status, message } if is_not_understood(*status) => {
                tracing::debug!(kind = %self.kind, message, "lists are not streamed here; they are read in pages");
                Stop::NoStream
            }
            _ => setback.while_asking("watch", self.resource.name, "").into(),
        }
    }

    /// A list in pages.
    async fn list(&mut self) -> Result<(), Stop> {
        self.known.begin_list();
        let mut next: Option<String> = None;
        loop {
            let go_on = next.as_ref().map(|next| format!("&continue={}", escape(next))).unwrap_or_default();
            let path = format!("{}?limit={}{go_on}", self.resource.path, self.page);
            let page = match self.page(&path).await {
                Ok(page) => page,
                Err(setback) => {
                    // Whatever else went wrong, it may be that the page was too large.
                    self.page = if matches!(setback.failure, Failure::Gone { .. }) { LARGE_PAGE } else { PAGE };
                    return Err(setback.while_asking("list", self.resource.name, "").into());
                }
            };
            let events: Vec<Event> = page.items.into_iter().flat_map(|item| self.known.listed(item)).collect();
            self.tell(events).await?;
            next = page.next;
            if next.is_none() {
                return self.complete(page.resource_version).await;
            }
        }
    }

    async fn page(&self, path: &str) -> Result<Page, Setback> {
        let answer = self.connection.get(path).await?;
        answer.check_json()?;
        let bytes = answer.whole(self.timing.answer).await?;
        Ok(decode::page(self.kind, &bytes)?)
    }

    /// A list is complete: what it did not have goes, and the watch goes on from it.
    async fn complete(&mut self, resource_version: String) -> Result<(), Stop> {
        if self.own.expected().is_some_and(|own| self.known.lacks(&own)) {
            return self.lose_own_node().await;
        }
        let events = self.known.end_list(&resource_version);
        self.tell(events).await?;
        self.page = PAGE;
        self.resume = Some(resource_version);
        self.show_progress(true);
        self.teller.synced().await.map_err(closed)
    }

    /// Takes what a watch tells until it ends. With `initial` it begins with all objects.
    async fn watch(&mut self, mut answer: Answer, initial: bool) -> Result<(), Stop> {
        answer.check_json()?;
        let mut watching = Watching { initial, told: false, settled: false };
        if initial {
            self.known.begin_list();
        }
        loop {
            match answer.line(self.patience(watching)).await? {
                Next::Line(line) if line.trim_ascii().is_empty() => {}
                Next::Line(line) => {
                    let line = decode::line(self.kind, &line)?;
                    self.take(line, &mut watching).await?;
                }
                Next::Quiet if watching.initial => {
                    // It may be that the server passed over what it does not know, and will never say that it is done.
                    return Err(Stop::NoStream);
                }
                Next::Quiet if !watching.settled => {
                    watching.settled = true;
                    self.recovered().await?;
                }
                // Not even a bookmark: whether the server is still there, a new watch will tell.
                Next::Quiet => return self.check_progress().await,
                Next::End { .. } if watching.told && !watching.initial => return Ok(()),
                Next::End { .. } if watching.settled && !watching.initial => return Ok(()),
                Next::End { broken } => {
                    if watching.initial {
                        // Pages are smaller, and what has come of them stays: a list that was too much as a stream may do.
                        self.refused_stream = Some(Instant::now());
                    }
                    return Err(Failure::Ended { reason: broken.unwrap_or_default() }.into());
                }
            }
        }
    }

    /// How long the next line is waited for. A watch that goes on from somewhere has nothing to tell at first: when nothing
    /// is wrong for a moment, it is taken to have begun.
    fn patience(&self, watching: Watching) -> Duration {
        match watching {
            Watching { initial: true, .. } => self.timing.answer,
            Watching { settled: false, .. } => self.timing.backoff_limit.min(self.timing.quiet) / 10,
            Watching { settled: true, .. } => self.timing.quiet,
        }
    }

    /// A server whose store was put back to an earlier time may serve a watch from what it has yet to reach, and tell nothing
    /// for as long as that takes. How far it is, any list says.
    async fn check_progress(&mut self) -> Result<(), Stop> {
        let page = self.page(&format!("{}?limit=1", self.resource.path)).await;
        let page = page.map_err(|setback| setback.while_asking("list", self.resource.name, ""))?;
        let at = self.resume.clone().unwrap_or_default();
        if Version::new(&page.resource_version).is_before(Version::new(&at)) {
            return Err(Failure::Gone { resource_version: at }.into());
        }
        Ok(())
    }

    async fn take(&mut self, line: Line, watching: &mut Watching) -> Result<(), Stop> {
        let (events, at) = match line {
            Line::There(item, at) if watching.initial => (self.known.listed(item), at),
            Line::There(item, at) => (self.known.there(item), at),
            Line::Gone(item, at) => (self.known.gone(&item), at),
            Line::Bookmark { resource_version, complete } => {
                self.known.bookmark(&resource_version);
                if watching.initial && complete {
                    (watching.initial, watching.told) = (false, true);
                    // That the watch behind the list works is yet to be seen.
                    return self.complete(resource_version).await;
                }
                (Vec::new(), resource_version)
            }
            Line::Error(status) if watching.initial => return Err(self.without_stream(Setback::of_status(status))),
            Line::Error(status) => {
                let at = self.resume.clone().unwrap_or_default();
                return Err(Setback::of_status(status).while_asking("watch", self.resource.name, &at).into());
            }
        };
        self.tell(events).await?;
        watching.told = true;
        if !watching.initial {
            if !at.is_empty() {
                self.resume = Some(at);
            }
            if !watching.settled {
                watching.settled = true;
                self.recovered().await?;
            }
        }
        self.show_progress(false);
        Ok(())
    }

    async fn tell(&mut self, events: Vec<Event>) -> Result<(), Stop> {
        for event in events {
            self.own.note(&event);
            self.teller.tell(event).await.map_err(closed)?;
        }
        Ok(())
    }

    async fn recovered(&mut self) -> Result<(), Stop> {
        self.backoff.reset();
        self.forgot = false;
        self.teller.recovered().await.map_err(closed)
    }

    fn show_progress(&self, list: bool) {
        let (objects, faulty) = (self.known.objects(), self.known.faulty());
        self.teller.status(|status| {
            (status.objects, status.faulty) = (objects, faulty);
            status.heard = Some(SystemTime::now());
            status.lists += u64::from(list);
            if let Some(at) = &self.resume {
                status.resource_version.clone_from(at);
            }
        });
    }
}

/// Where a watch stands.
#[derive(Clone, Copy, Debug)]
struct Watching {
    /// The objects that there are from the start are still being told.
    initial: bool,
    /// Something has been told.
    told: bool,
    /// It has shown that it works.
    settled: bool,
}

fn closed(_: Closed) -> Stop {
    Stop::Closed
}

/// What a query may not hold as it is becomes `%` and two digits (RFC 3986 section 2.1).
fn escape(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_query_may_not_hold_is_escaped() {
        assert_eq!(super::escape("a-1.b_c~"), "a-1.b_c~");
        assert_eq!(super::escape("x y&z=\u{e4}"), "x%20y%26z%3D%C3%A4");
    }
}
