//! Policies: how a table is to be kept in step.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
        )]
        pub enum $name { $($(#[$item_doc])* #[serde(rename = $text)] $item,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$item,)+];

            /// The value as the API and the database write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$item => $text,)+ }
            }

            /// Reads what [`Self::as_str`] writes.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Tier: which tables go first, and how late they may be.
    Priority {
        /// First; a lag of a minute is late.
        Critical => "critical",
        /// Five minutes.
        Standard => "standard",
        /// Last; an hour.
        Bulk => "bulk",
    }
}

impl Priority {
    /// The lag that is late, where a policy says nothing, in seconds.
    pub fn lag_target_seconds(self) -> u64 {
        match self {
            Self::Critical => 60,
            Self::Standard => 300,
            Self::Bulk => 3600,
        }
    }
}

words! {
    /// Absolute file references in a log.
    AbsolutePaths {
        /// The table is blocked.
        Refuse => "refuse",
        /// They are taken for the same bucket and key at every site.
        Alias => "alias",
    }
}

words! {
    /// Releases of Hudi that read the replicas.
    HudiReaders {
        /// Up to 0.15.
        Zero => "0.x",
        /// From 1.0 on.
        One => "1.x",
        /// Any.
        Both => "both",
    }
}

words! {
    /// What happens when a version 6 merge-on-read table cannot be published in one write.
    HudiV6Window {
        /// It is published, and the time is reported.
        Allow => "allow",
        /// The table is blocked.
        Refuse => "refuse",
    }
}

words! {
    /// The archived history of copy-on-write Hudi tables of version 8 and 9.
    HudiHistory {
        /// Part of the replica.
        Carry => "carry",
        /// Left out, for stock Trino up to 476.
        Omit => "omit",
    }
}

words! {
    /// The metadata table of a Hudi table.
    HudiMetadata {
        /// None at the replica.
        Drop => "drop",
        /// In step with the table.
        Mirror => "mirror",
    }
}

/// How one table is to be kept in step. What is left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Tier.
    pub priority: Priority,
    /// A larger lag is late, in seconds; the tier's own where it is `null`.
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub lag_target_seconds: Option<u64>,
    /// The source is looked at at least this often, in seconds.
    #[schema(minimum = 1, maximum = 86_400)]
    pub poll_seconds: u64,
    /// The consistency group that the table is in: tables of its project that readers look at
    /// together; `null` = none.
    #[schema(min_length = 2, max_length = 128)]
    pub group: Option<String>,
    /// Part of the bandwidth and of the transfers, beside the other tables of the project.
    #[schema(minimum = 1, maximum = 1_000)]
    pub share: u32,
    /// Files that no version needs which was current within this time are removed from the
    /// replicas, in seconds; `null` = never.
    #[schema(minimum = 60, maximum = 3_153_600_000_u64)]
    pub retention_seconds: Option<u64>,
    /// Where a new replica starts: `latest`, `earliest`, or a position.
    #[schema(max_length = 64)]
    pub start: String,
    /// Absolute file references in the log.
    pub absolute_paths: AbsolutePaths,
    /// With `absolute_paths: alias`, folders of other tables that the log may refer to.
    #[schema(max_items = 16)]
    pub alias_roots: Vec<String>,
    /// Releases of Hudi that read the replicas.
    pub hudi_readers: HudiReaders,
    /// Version 6 merge-on-read tables that cannot be published in one write.
    pub hudi_v6_window: HudiV6Window,
    /// Archived history.
    pub hudi_history: HudiHistory,
    /// Metadata table.
    pub hudi_metadata: HudiMetadata,
    /// A commit that brings partitions is published so many seconds after their folders are there:
    /// engines list partitions first, and look at the table then.
    #[schema(maximum = 3_600)]
    pub hudi_partition_lead_seconds: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            priority: Priority::Standard,
            lag_target_seconds: None,
            poll_seconds: 30,
            group: None,
            share: 1,
            retention_seconds: None,
            start: "latest".to_owned(),
            absolute_paths: AbsolutePaths::Refuse,
            alias_roots: Vec::new(),
            hudi_readers: HudiReaders::Both,
            hudi_v6_window: HudiV6Window::Allow,
            hudi_history: HudiHistory::Carry,
            hudi_metadata: HudiMetadata::Drop,
            hudi_partition_lead_seconds: 5,
        }
    }
}

impl Policy {
    /// The lag that is late, in seconds.
    pub fn lag_target_seconds(&self) -> u64 {
        self.lag_target_seconds.unwrap_or_else(|| self.priority.lag_target_seconds())
    }

    /// A check was fresh if it is not older than this: two polls, and a minute at least.
    pub fn check_fresh_ms(&self) -> i64 {
        i64::try_from(self.poll_seconds.saturating_mul(2_000).max(60_000)).unwrap_or(i64::MAX)
    }

    /// Where a table's files may come from: its source, and the folders that its log may refer to.
    pub fn places<'a>(&'a self, source: &'a str) -> Vec<&'a str> {
        self.alias_roots.iter().map(String::as_str).chain([source]).collect()
    }

    /// Checks what types do not.
    ///
    /// # Errors
    /// The field, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let within = |name, value: u64, least, most| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("{name} is {value}: use {least} to {most}")),
        };
        within("poll_seconds", self.poll_seconds, 1, 86_400)?;
        within("share", u64::from(self.share), 1, 1_000)?;
        if let Some(seconds) = self.lag_target_seconds {
            within("lag_target_seconds", seconds, 1, 31_536_000)?;
        }
        if let Some(seconds) = self.retention_seconds {
            within("retention_seconds", seconds, 60, 3_153_600_000)?;
        }
        if let Some(group) = &self.group {
            crate::check_label("group", group).map_err(|error| error.to_string())?;
        }
        within("hudi_partition_lead_seconds", self.hudi_partition_lead_seconds, 0, 3_600)?;
        let position = table_sync_core::Position::parse(&self.start).is_some();
        if !position && !matches!(self.start.as_str(), "latest" | "earliest") {
            return Err("start: use latest, earliest or a position".to_owned());
        }
        match self.alias_roots.len() {
            0..=16 => Ok(()),
            more => Err(format!("alias_roots has {more} folders: use 16 at most")),
        }
    }
}
