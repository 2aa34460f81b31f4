//! The CNI specification versions that Sluice speaks.

use std::fmt;
use std::str::FromStr;

/// A CNI specification version. The shape of an ADD result depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CniVersion {
    /// 0.3.1: addresses carry an explicit family (`"version": "4"`).
    V0_3_1,
    /// 0.4.0: adds CHECK; results as in 0.3.1.
    V0_4_0,
    /// 1.0.0: addresses lose the explicit family.
    V1_0_0,
    /// 1.1.0: interfaces gain `mtu`, `socketPath`, `pciID`; routes gain `mtu`, `advmss`, `priority`, `table`, `scope`.
    V1_1_0,
}

/// The version is not one that Sluice speaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CNI version {given:?} is not supported; supported are {}", CniVersion::list())]
pub struct UnsupportedVersion {
    /// The version as the caller wrote it; empty when it was absent.
    pub given: String,
}

/// The verb is not one of the configuration's version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("CNI version {version} of the network configuration has no {verb}, which came with {since}; raise cniVersion")]
pub struct VerbTooNew {
    verb: &'static str,
    since: CniVersion,
    version: CniVersion,
}

impl CniVersion {
    /// Every supported version, oldest first.
    pub const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest supported version.
    pub const LATEST: Self = Self::V1_1_0;

    /// The version as it is written in a configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Refuses a verb that came with `since` to a configuration of an earlier version, as its runtime cannot mean it.
    ///
    /// # Errors
    /// [`VerbTooNew`] names the verb and both versions.
    pub fn knows(self, verb: &'static str, since: Self) -> Result<(), VerbTooNew> {
        if self < since { Err(VerbTooNew { verb, since, version: self }) } else { Ok(()) }
    }

    fn list() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for CniVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CniVersion {
    type Err = UnsupportedVersion;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|v| v.as_str() == given)
            .ok_or_else(|| UnsupportedVersion { given: given.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_back() {
        for version in CniVersion::ALL {
            assert_eq!(version.as_str().parse::<CniVersion>(), Ok(version));
        }
    }

    #[test]
    fn a_verb_is_refused_to_versions_before_it() {
        let knows = |version: CniVersion| version.knows("CHECK", CniVersion::V0_4_0).is_ok();
        assert_eq!(CniVersion::ALL.map(knows), [false, true, true, true]);
        let refused = CniVersion::V1_0_0.knows("GC", CniVersion::V1_1_0).expect_err("it came later").to_string();
        assert!(refused.contains("1.0.0") && refused.contains("GC") && refused.contains("1.1.0"), "{refused}");
    }

    #[test]
    fn a_refusal_names_the_supported_versions() {
        let refused = "0.2.0".parse::<CniVersion>().unwrap_err().to_string();
        for version in CniVersion::ALL {
            assert!(refused.contains(version.as_str()), "{refused}");
        }
        assert!(refused.contains("0.2.0"), "{refused}");
    }
}
