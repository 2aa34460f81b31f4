//! The keys as they are written, in the file or as flags; each may be left out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cni::CniKeys;
use super::network::{ConnectionKeys, MasqueradeKeys, ServiceKeys, TunnelKeys, UplinkKeys};
use super::source::SourceKeys;
use super::{Config, Features, Log};

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Idle {
    /// Spin for a while, then sleep until there is traffic.
    #[default]
    Adaptive,
    /// Spin for ever.
    Poll,
}

/// TCP super-frames between local pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SuperFrames {
    /// Where the kernel can.
    #[default]
    Auto,
    /// Never: no packet is larger than the path MTU.
    Off,
}

/// How the XDP program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// As measured best for the kind of device.
    #[default]
    Auto,
    /// Behind the network stack's receive path.
    Generic,
    /// In the driver.
    Native,
}

/// How much something is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Not used.
    #[default]
    Off,
    /// Used where it is to be had.
    Auto,
    /// Without it, sluiced does not start.
    Require,
}

/// What the machine's cores do when they have nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum IdleCores {
    /// Whatever the machine is set to: they halt, sooner or later.
    #[default]
    Halt,
    /// They poll while sluiced runs: a pod that a packet wakes is there at once, and the machine draws more power.
    Poll,
}

/// A feature of the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Switchable {
    /// Used where the kernel has it.
    #[default]
    Auto,
    /// Not used.
    Off,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Least severity that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what is odd.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level as log filters write it.
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// Every key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Keys {
    /// Name of this node's Node object [default: NODE_NAME, else the host's name]
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
    /// Directory of the sockets [default: /run/sluice]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Directory of the state file [default: /var/lib/sluice]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where the objects come from.
    #[command(flatten)]
    pub source: SourceKeys,
    /// Cores of the workers, separated by commas [default: the highest available]
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub cores: Option<Vec<usize>>,
    /// What a worker does when there is nothing to do [default: adaptive]
    #[arg(long)]
    pub idle: Option<Idle>,
    /// What all the machine's cores do when there is nothing to do; poll makes waking a pod quicker and costs power
    /// [default: halt]
    #[arg(long)]
    pub idle_cores: Option<IdleCores>,
    /// Path MTU of pods in bytes, 1280 to 9000 [default: what the uplink and the tunnel leave; 1500 without an uplink]
    #[arg(long, value_name = "BYTES")]
    pub pod_mtu: Option<u64>,
    /// Super-frames between local pods [default: auto]
    #[arg(long)]
    pub super_frames: Option<SuperFrames>,
    /// How the XDP program is attached [default: auto]
    #[arg(long)]
    pub xdp_mode: Option<XdpMode>,
    /// Zero-copy sockets [default: off]
    #[arg(long)]
    pub zero_copy: Option<Need>,
    /// Huge pages for the frames [default: off]
    #[arg(long)]
    pub huge_pages: Option<Need>,
    /// Frames of 4096 bytes, 1024 to 1048576; each also costs 128 bytes for each attached pod [default: 4096]
    #[arg(long, value_name = "FRAMES")]
    pub umem_frames: Option<u64>,
    /// Kernel features.
    #[command(flatten)]
    pub features: FeatureKeys,
    /// The uplink.
    #[command(flatten)]
    pub uplink: UplinkKeys,
    /// Tunnels between nodes.
    #[command(flatten)]
    pub tunnel: TunnelKeys,
    /// Services.
    #[command(flatten)]
    pub services: ServiceKeys,
    /// Masquerade.
    #[command(flatten)]
    pub masquerade: MasqueradeKeys,
    /// Connections.
    #[command(flatten)]
    pub connections: ConnectionKeys,
    /// The container runtime.
    #[command(flatten)]
    pub cni: CniKeys,
    /// Address and port of the HTTP endpoint [default: 127.0.0.1:9810]
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Logging.
    #[command(flatten)]
    pub log: LogKeys,
}

/// The keys of `features`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureKeys {
    /// Packets of several frames [default: auto]
    #[arg(long = "features-multi-buffer", value_name = "MULTI_BUFFER")]
    pub multi_buffer: Option<Switchable>,
    /// Checksum completion by TX metadata [default: auto]
    #[arg(long = "features-tx-metadata", value_name = "TX_METADATA")]
    pub tx_metadata: Option<Switchable>,
    /// A larger send budget [default: auto]
    #[arg(long = "features-tx-budget", value_name = "TX_BUDGET")]
    pub tx_budget: Option<Switchable>,
    /// Wake the kernel only when it asks [default: auto]
    #[arg(long = "features-need-wakeup", value_name = "NEED_WAKEUP")]
    pub need_wakeup: Option<Switchable>,
}

/// The keys of `log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LogKeys {
    /// Form of a log line [default: text]
    #[arg(long = "log-format", value_name = "FORMAT")]
    pub format: Option<LogFormat>,
    /// Least severity that is logged [default: info]
    #[arg(long = "log-level", value_name = "LEVEL")]
    pub level: Option<LogLevel>,
}

impl Keys {
    /// These keys where they are set, else those of `base`. Taken apart whole, so that no key is forgotten.
    #[must_use]
    pub fn over(self, base: Keys) -> Keys {
        let Keys {
            node_name,
            run_dir,
            state_dir,
            source,
            cores,
            idle,
            idle_cores,
            pod_mtu,
            super_frames,
            xdp_mode,
            zero_copy,
            huge_pages,
            umem_frames,
            features: FeatureKeys { multi_buffer, tx_metadata, tx_budget, need_wakeup },
            uplink,
            tunnel,
            services,
            masquerade,
            connections,
            cni,
            http,
            log: LogKeys { format, level },
        } = self;
        Keys {
            node_name: node_name.or(base.node_name),
            run_dir: run_dir.or(base.run_dir),
            state_dir: state_dir.or(base.state_dir),
            source: source.over(base.source),
            cores: cores.or(base.cores),
            idle: idle.or(base.idle),
            idle_cores: idle_cores.or(base.idle_cores),
            pod_mtu: pod_mtu.or(base.pod_mtu),
            super_frames: super_frames.or(base.super_frames),
            xdp_mode: xdp_mode.or(base.xdp_mode),
            zero_copy: zero_copy.or(base.zero_copy),
            huge_pages: huge_pages.or(base.huge_pages),
            umem_frames: umem_frames.or(base.umem_frames),
            features: FeatureKeys {
                multi_buffer: multi_buffer.or(base.features.multi_buffer),
                tx_metadata: tx_metadata.or(base.features.tx_metadata),
                tx_budget: tx_budget.or(base.features.tx_budget),
                need_wakeup: need_wakeup.or(base.features.need_wakeup),
            },
            uplink: uplink.over(base.uplink),
            tunnel: tunnel.over(base.tunnel),
            services: services.over(base.services),
            masquerade: masquerade.over(base.masquerade),
            connections: connections.over(base.connections),
            cni: cni.over(base.cni),
            http: http.or(base.http),
            log: LogKeys { format: format.or(base.log.format), level: level.or(base.log.level) },
        }
    }
}

impl From<&Config> for Keys {
    fn from(config: &Config) -> Keys {
        let Features { multi_buffer, tx_metadata, tx_budget, need_wakeup } = config.features;
        let Log { format, level } = config.log;
        let (uplink, tunnel, services, masquerade, connections) = config.network.keys();
        Keys {
            node_name: Some(config.node_name.as_str().to_owned()),
            run_dir: Some(config.run_dir.clone()),
            state_dir: Some(config.state_dir.clone()),
            source: SourceKeys::from(&config.source),
            cores: Some(config.cores.clone()),
            idle: Some(config.idle),
            idle_cores: Some(config.idle_cores),
            pod_mtu: config.pod_mtu.map(u64::from),
            super_frames: Some(config.super_frames),
            xdp_mode: Some(config.xdp_mode),
            zero_copy: Some(config.zero_copy),
            huge_pages: Some(config.huge_pages),
            umem_frames: Some(config.umem_frames.into()),
            features: FeatureKeys {
                multi_buffer: Some(multi_buffer),
                tx_metadata: Some(tx_metadata),
                tx_budget: Some(tx_budget),
                need_wakeup: Some(need_wakeup),
            },
            uplink,
            tunnel,
            services,
            masquerade,
            connections,
            cni: CniKeys::from(&config.cni),
            http: Some(config.http.to_string()),
            log: LogKeys { format: Some(format), level: Some(level) },
        }
    }
}
