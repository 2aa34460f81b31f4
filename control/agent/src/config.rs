//! What sluiced is told: a YAML file, flags over it, checked once.
//!
//! `file --read--> Keys <--over-- flags (clap)`, then `Keys --Config::check--> Config`. Everything after takes only the
//! checked [`Config`]. Keys and flags are one type, so that every key is a flag and none is forgotten.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use sluice_model::{NameError, NodeName};

mod check;
mod cni;
mod keys;
mod network;
mod source;

pub use cni::{Cni, CniKeys};
pub use keys::{
    FeatureKeys, Idle, IdleCores, Keys, LogFormat, LogKeys, LogLevel, Need, SuperFrames, Switchable, XdpMode,
};
pub use network::{
    ConnectionKeys, Encapsulation, EndpointChoice, MasqueradeKeys, Network, RemovedEndpoints, ServiceKeys, Switched,
    TunnelKeys, UplinkKeys,
};
pub use source::{Kubernetes, KubernetesKeys, Source, SourceKeys};

/// The command line of sluiced.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(name = "sluiced", version, about = "The node's network in one daemon.")]
pub struct Args {
    /// The configuration file; without one, flags and defaults alone
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the configuration in force as YAML and exit
    #[arg(long)]
    pub print_config: bool,
    /// Check the configuration as on any node of a cluster and exit: 0 and "ok", or 2 and what is wrong with which key. What
    /// depends on the node, as whether it has the cores and the device, is checked at its start alone
    #[arg(long, conflicts_with = "print_config")]
    pub check: bool,
    /// Every key of the file as a flag.
    #[command(flatten)]
    pub keys: Keys,
}

impl Args {
    /// The keys of the file, and the flags over them.
    fn merged(self) -> Result<Keys, ConfigError> {
        let file = self.config.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(self.keys.over(file))
    }
}

/// What the configuration is checked against: facts of this machine and process.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The environment's NODE_NAME.
    pub node_name: Option<String>,
    /// The host's name.
    pub hostname: Option<String>,
    /// Cores that this process may run on, in rising order.
    pub cores: Vec<usize>,
    /// Whether the process is in a pod that may ask the Kubernetes API.
    pub in_cluster: bool,
}

/// What Kubernetes sets in the environment of every container of a pod, and the file that those with a service account find
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>).
const IN_CLUSTER: (&str, &str) = ("KUBERNETES_SERVICE_HOST", "/var/run/secrets/kubernetes.io/serviceaccount/token");

impl Surroundings {
    /// NODE_NAME, the host's name (proc_sys_kernel(5)) and the service account as they are; the cores are the caller's to
    /// list, before anything is pinned.
    pub fn read(cores: Vec<usize>) -> Surroundings {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let hostname = hostname.map(|name| name.trim().to_owned());
        let (variable, token) = IN_CLUSTER;
        let in_cluster = std::env::var_os(variable).is_some_and(|host| !host.is_empty()) && Path::new(token).exists();
        Surroundings { node_name: std::env::var("NODE_NAME").ok(), hostname, cores, in_cluster }
    }
}

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; give a readable file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not YAML, has an unknown key or a value of the wrong type.
    #[error("{}:{line}: {reason}; sluiced --help lists keys and values", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 when it is not known.
        line: u64,
        /// What is wrong, with the key's name.
        reason: String,
    },
    /// Nothing names the node.
    #[error("nodeName is missing; set it, or NODE_NAME in the environment")]
    NoNodeName,
    /// The node's name is none.
    #[error("nodeName \"{value}\" {reason}; set nodeName to the name of the Node object")]
    BadNodeName {
        /// The name.
        value: String,
        /// The rule it breaks.
        reason: NameError,
    },
    /// Nothing says where the objects come from.
    #[error(
        "source is missing; set source.directory to a directory with manifests, or source.kubernetes.kubeconfig to a file \
         that tells how to reach the Kubernetes API, or run sluiced in a pod with a service account"
    )]
    NoSource,
    /// Two places for the objects to come from.
    #[error("source.directory and source.kubernetes are both set; leave one of them out")]
    TwoSources,
    /// Nothing tells how to reach the API.
    #[error(
        "source.kubernetes.kubeconfig is missing, and this is no pod with a service account; set it to a file that tells how to \
         reach the Kubernetes API"
    )]
    NoKubeconfig,
    /// A context of no file.
    #[error("source.kubernetes.context \"{context}\" is in no file; set source.kubernetes.kubeconfig too")]
    ContextWithoutFile {
        /// Its value.
        context: String,
    },
    /// Not the URL of a server.
    #[error("source.kubernetes.server \"{value}\" is no URL of a server, as https://192.0.2.10:6443")]
    BadServer {
        /// Its value.
        value: String,
    },
    /// A directory that depends on where the process was started.
    #[error("{key} \"{}\" is not absolute; begin it with /", path.display())]
    NotAbsolute {
        /// The key.
        key: &'static str,
        /// Its value.
        path: PathBuf,
    },
    /// The socket's path would be longer than the kernel takes (unix(7): 108 bytes with the final zero).
    #[error("runDir \"{}\" has more than {limit} bytes, so its socket could not be made; take a shorter one",
        path.display())]
    RunDirTooLong {
        /// Its value.
        path: PathBuf,
        /// Bytes it may have.
        limit: usize,
    },
    /// No core at all.
    #[error("cores is empty; name at least one of {available:?}")]
    NoCores {
        /// What there is.
        available: Vec<usize>,
    },
    /// A core that is not there or not allowed to this process.
    #[error("cores: there is no core {core}; available are {available:?}")]
    NoSuchCore {
        /// The core asked for.
        core: usize,
        /// What there is.
        available: Vec<usize>,
    },
    /// One core for two workers.
    #[error("cores: core {0} is named twice; a worker needs a core of its own")]
    CoreTwice(usize),
    /// A number that is too small or too large.
    #[error("{key} {value} is outside {low} to {high}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// The least allowed.
        low: u64,
        /// The most allowed.
        high: u64,
    },
    /// Not an address and port.
    #[error("http \"{value}\" is not an address and port to listen on, as 127.0.0.1:9810")]
    BadHttp {
        /// Its value.
        value: String,
    },
    /// A name that no device has.
    #[error("uplink.device \"{value}\" is no name of a device: 1 to 15 letters without '/' and blanks, as eth0")]
    BadDevice {
        /// Its value.
        value: String,
    },
    /// Not a network.
    #[error(
        "{key}: \"{value}\" is no network; write address, slash and prefix length without bits behind it, as 10.96.0.0/16"
    )]
    BadNetwork {
        /// The key.
        key: &'static str,
        /// The value in question.
        value: String,
    },
    /// Not a range of ports.
    #[error(
        "masquerade.ports \"{value}\" is no range of ports from 1024 to 65535; write the first and the last, as 61000-65535"
    )]
    BadPorts {
        /// Its value.
        value: String,
    },
    /// Not a version of the CNI specification.
    #[error("cni.version \"{value}\" is not one of 0.3.1, 0.4.0, 1.0.0, 1.1.0")]
    BadCniVersion {
        /// Its value.
        value: String,
    },
    /// A name that no network can have.
    #[error(
        "cni.network \"{value}\" is no name of a network: a letter or digit, then letters, digits, '_', '.' or '-'"
    )]
    BadCniNetwork {
        /// Its value.
        value: String,
    },
    /// The configuration cannot be written as YAML.
    #[error("cannot print the configuration: {reason}")]
    Print {
        /// Why not.
        reason: String,
    },
}

/// Whether features of the kernel may be used; each is probed where it is `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Packets of several frames (`XDP_USE_SG`).
    pub multi_buffer: Switchable,
    /// TX metadata for checksum completion.
    pub tx_metadata: Switchable,
    /// `XDP_MAX_TX_SKB_BUDGET`.
    pub tx_budget: Switchable,
    /// `XDP_USE_NEED_WAKEUP`.
    pub need_wakeup: Switchable,
}

/// How sluiced logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Form of a line.
    pub format: LogFormat,
    /// Least severity that is written.
    pub level: LogLevel,
}

/// The checked configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node's name.
    pub node_name: NodeName,
    /// Directory of the sockets; absolute, short enough for a socket in it.
    pub run_dir: PathBuf,
    /// Directory of the state file and the CNI journal; absolute.
    pub state_dir: PathBuf,
    /// Where the objects come from.
    pub source: Source,
    /// Cores of the workers, in the order given: at least one, all available, none twice, at most 256.
    pub cores: Vec<usize>,
    /// What a worker does when there is nothing to do.
    pub idle: Idle,
    /// What the machine's cores do when they have nothing to do.
    pub idle_cores: IdleCores,
    /// Path MTU of pods in bytes, 1280 to 9000; `None` for what the uplink and the tunnel leave, 1500 without an uplink.
    pub pod_mtu: Option<u16>,
    /// Super-frames between local pods.
    pub super_frames: SuperFrames,
    /// How the XDP program is attached.
    pub xdp_mode: XdpMode,
    /// Zero-copy sockets.
    pub zero_copy: Need,
    /// Huge pages for the frames.
    pub huge_pages: Need,
    /// Frames of 4096 bytes in the UMEM, 1024 to 1048576.
    pub umem_frames: u32,
    /// Kernel features.
    pub features: Features,
    /// What lies beyond this node's pods.
    pub network: Network,
    /// What is put on the node for the container runtime; `None` for nothing.
    pub cni: Option<Cni>,
    /// Where HTTP is served; port 0 takes a free one.
    pub http: SocketAddr,
    /// Logging.
    pub log: Log,
}

impl Config {
    /// Reads the file that the flags name, puts the flags over it, and checks the whole.
    pub fn load(args: Args, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        Config::check(args.merged()?, surroundings)
    }

    /// Checks the same as in a pod of some node, for `--check`: whatever the node has is taken to be there.
    pub fn check_for_any_node(args: Args) -> Result<(), ConfigError> {
        let keys = args.merged()?;
        let cores = keys.cores.clone().filter(|cores| !cores.is_empty()).unwrap_or_else(|| vec![0]);
        let any = Surroundings { node_name: Some("any".to_owned()), hostname: None, cores, in_cluster: true };
        Config::check(keys, &any).map(|_| ())
    }

    /// Checks keys and fills in what they leave out.
    pub fn check(keys: Keys, surroundings: &Surroundings) -> Result<Config, ConfigError> {
        check::check(keys, surroundings)
    }

    /// The whole configuration as YAML with every key, for `--print-config`. Reading it back gives the same.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_saphyr::to_string(&Keys::from(self)).map_err(|error| ConfigError::Print { reason: error.to_string() })
    }
}

/// Where HTTP is served when nothing says otherwise.
const DEFAULT_HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9810);

fn read(path: &Path) -> Result<Keys, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// The keys in a file's text; `path` is for the error alone.
fn parse(path: &Path, text: &str) -> Result<Keys, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| ConfigError::File {
        path: path.to_owned(),
        line: error.location().map_or(0, |location| location.line()),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
