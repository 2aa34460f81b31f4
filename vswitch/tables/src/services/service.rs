//! One port of a Service in one family.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::backends::{Backend, Backends, Choice};
use super::builder::ServicesError;
use crate::Family;
use crate::is_unicast;

/// Longest session affinity in seconds, a day (API text of `sessionAffinityConfig.clientIP.timeoutSeconds`).
pub const MAX_AFFINITY_SECONDS: u32 = 86_400;

/// A backend that the slices name, usable for new connections or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KnownBackend {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Whether it still answers, be it terminating.
    pub serving: bool,
}

/// One port of a Service in one family, before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Names (Service, port, family) through all generations: the key of session affinity. Unique.
    pub key: u64,
    /// For messages: `namespace/name:port`.
    pub name: Arc<str>,
    /// Family of its frontends and backends.
    pub family: Family,
    /// IP protocol: TCP, UDP or SCTP.
    pub protocol: u8,
    /// Backends usable now under policy Cluster, after topology and the fallback to terminating ones.
    pub cluster: Vec<Backend>,
    /// Backends usable now under policy Local, likewise.
    pub local: Vec<Backend>,
    /// Every backend in the slices. Those in `cluster` and `local` count as known and serving in any case.
    pub known: Vec<KnownBackend>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Session affinity by client address, with its timeout in seconds, 1 to [`MAX_AFFINITY_SECONDS`].
    pub affinity: Option<u32>,
    /// Sources that may use its load balancer addresses; `None`: all.
    pub source_ranges: Option<Arc<[IpNet]>>,
    /// How backends are chosen.
    pub choice: Choice,
}

/// One port of a Service in one family, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    key: u64,
    name: Arc<str>,
    family: Family,
    protocol: u8,
    cluster: Arc<Backends>,
    local: Arc<Backends>,
    /// Ordered by address and port.
    known: Box<[KnownBackend]>,
    internal_local: bool,
    external_local: bool,
    affinity: Option<u32>,
    source_ranges: Option<Arc<[IpNet]>>,
    /// Whether [`Service::plain`] has any.
    plain: bool,
}

impl Service {
    /// Checks `entry`. The result may be given to many [`super::ServicesBuilder`]s, one a generation.
    ///
    /// # Errors
    /// [`ServicesError`] names the Service and what is wrong with it.
    pub fn new(entry: ServiceEntry) -> Result<Arc<Self>, ServicesError> {
        check(&entry)?;
        let known = known(&entry);
        let ServiceEntry { key, name, family, protocol, cluster, local, choice, .. } = entry;
        let ServiceEntry { internal_local, external_local, affinity, source_ranges, .. } = entry;
        let cluster = Arc::new(Backends::new(cluster, choice));
        let local = Backends::new(local, choice);
        let local = if local == *cluster { Arc::clone(&cluster) } else { Arc::new(local) };
        let given = if internal_local { &local } else { &cluster };
        let plain = affinity.is_none() && !cluster.is_empty() && !given.is_maglev() && given.all().iter().all(is_v4);
        Ok(Arc::new(Self {
            key,
            name,
            family,
            protocol,
            cluster,
            local,
            known,
            internal_local,
            external_local,
            affinity,
            source_ranges,
            plain,
        }))
    }

    /// Whether `entry` makes this again, so that this can be shared instead. Asked of backends in another order than by
    /// address and port it may say no though it does.
    #[must_use]
    pub fn is_made_of(&self, entry: &ServiceEntry) -> bool {
        let ServiceEntry { key, name, family, protocol, cluster, local, known, choice, .. } = entry;
        let ServiceEntry { internal_local, external_local, affinity, source_ranges, .. } = entry;
        let same = |made: &Backends, given: &[Backend]| {
            made.all() == given && made.is_maglev() == (*choice == Choice::Maglev && given.len() > 1)
        };
        (self.key, &self.name, self.family, self.protocol) == (*key, name, *family, *protocol)
            && (self.internal_local, self.external_local) == (*internal_local, *external_local)
            && (self.affinity, &self.source_ranges) == (*affinity, source_ranges)
            && same(&self.cluster, cluster)
            && same(&self.local, local)
            && *self.known == **known
    }

    /// The same for (Service, port, family) in every generation.
    #[must_use]
    #[inline]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// `namespace/name:port`, for messages.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Family of its frontends and backends.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// IP protocol.
    #[must_use]
    #[inline]
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// Backends usable now under policy Cluster.
    #[must_use]
    #[inline]
    pub fn cluster(&self) -> &Backends {
        &self.cluster
    }

    /// Backends usable now under policy Local.
    #[must_use]
    #[inline]
    pub fn local(&self) -> &Backends {
        &self.local
    }

    /// `internalTrafficPolicy: Local`.
    #[must_use]
    #[inline]
    pub fn internal_local(&self) -> bool {
        self.internal_local
    }

    /// `externalTrafficPolicy: Local`.
    #[must_use]
    #[inline]
    pub fn external_local(&self) -> bool {
        self.external_local
    }

    /// Session affinity by client address: its timeout in seconds.
    #[must_use]
    #[inline]
    pub fn affinity(&self) -> Option<u32> {
        self.affinity
    }

    /// Whether the slices name this backend, and then whether it is still serving.
    #[must_use]
    pub fn known(&self, address: IpAddr, port: u16) -> Option<bool> {
        let position = self.known.binary_search_by_key(&(address, port), |known| (known.address, known.port)).ok()?;
        Some(self.known[position].serving)
    }

    /// Every backend that the slices name, ordered by address and port.
    #[must_use]
    pub fn known_backends(&self) -> &[KnownBackend] {
        &self.known
    }

    /// What a pod is given at a ClusterIP: one of these IPv4 addresses (upper half) and ports (lower half) by chance. None where
    /// there is more to it.
    pub(super) fn plain(&self) -> impl Iterator<Item = u64> + use<'_> {
        let given = if self.internal_local { &self.local } else { &self.cluster };
        let all = if self.plain { given.all() } else { &[] };
        all.iter().filter_map(|backend| match backend.address {
            IpAddr::V4(v4) => Some(u64::from(v4.to_bits()) << 32 | u64::from(backend.port)),
            IpAddr::V6(_) => None,
        })
    }

    /// Whether `source` may use the load balancer addresses.
    #[must_use]
    pub fn allows_source(&self, source: IpAddr) -> bool {
        self.source_ranges.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&source)))
    }
}

fn check(entry: &ServiceEntry) -> Result<(), ServicesError> {
    use sluice_wire::protocol::{SCTP, TCP, UDP};
    let name = || Arc::clone(&entry.name);
    if !matches!(entry.protocol, TCP | UDP | SCTP) {
        return Err(ServicesError::Protocol { service: name(), protocol: entry.protocol });
    }
    if let Some(seconds) = entry.affinity
        && !(1..=MAX_AFFINITY_SECONDS).contains(&seconds)
    {
        return Err(ServicesError::Affinity { service: name(), seconds });
    }
    let known = entry.known.iter().map(|known| (known.address, known.port));
    let usable = entry.cluster.iter().chain(&entry.local).map(|backend| (backend.address, backend.port));
    for (address, port) in usable.chain(known) {
        if Family::of(address) != entry.family {
            return Err(ServicesError::BackendFamily { service: name(), address, family: entry.family });
        }
        if port == 0 || !is_unicast(address) {
            return Err(ServicesError::UnusableBackend { service: name(), address, port });
        }
    }
    Ok(())
}

fn is_v4(backend: &Backend) -> bool {
    backend.address.is_ipv4()
}

/// One entry for each backend: an endpoint that is moving between slices is in two, and serves if one says so.
fn known(entry: &ServiceEntry) -> Box<[KnownBackend]> {
    let usable = entry.cluster.iter().chain(&entry.local);
    let usable = usable.map(|&Backend { address, port }| KnownBackend { address, port, serving: true });
    let mut all: Vec<KnownBackend> = entry.known.iter().copied().chain(usable).collect();
    all.sort_unstable_by_key(|known| (known.address, known.port, !known.serving));
    all.dedup_by_key(|known| (known.address, known.port));
    all.into()
}
