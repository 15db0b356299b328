//! Registration: which table of a catalog a replica belongs to, and whose turn it is to write.
//!
//! Pure: a claim is held against a descriptor, and somebody else acts on the outcome.

use std::collections::BTreeMap;

use crate::Descriptor;

/// In whose name a pass works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    /// The table's whole name, `project.namespace.table`.
    pub table: String,
    /// The project that it belongs to.
    pub project: String,
    /// Fencing number of the owner. A later owner has a greater one.
    pub epoch: u64,
    /// What is known of each target.
    pub sites: Sites,
}

/// The name of the site and the table's incarnation there, by the target's URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sites(BTreeMap<String, (String, u32)>);

/// From the target's URL, the site and the incarnation.
impl FromIterator<(String, String, u32)> for Sites {
    fn from_iter<T: IntoIterator<Item = (String, String, u32)>>(sites: T) -> Self {
        Self(sites.into_iter().map(|(url, site, incarnation)| (url, (site, incarnation))).collect())
    }
}

/// How a registration stands to what a replica's descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The descriptor says the same.
    Ours,
    /// Nobody else's: ours is to be written before anything else is.
    Open,
    /// A later owner works here.
    Fenced(Fenced),
    /// The replica is another table's, or another incarnation's.
    Foreign {
        /// Whose it is.
        found: String,
        /// Whom it was taken for.
        ours: String,
    },
}

/// A later owner works on the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {ours} was superseded by epoch {found} at this replica")]
pub(crate) struct Fenced {
    pub(crate) ours: u64,
    pub(crate) found: u64,
}

impl Registration {
    /// Holds this registration against a descriptor at a target.
    pub(crate) fn standing(&self, target: &str, found: &Descriptor) -> Standing {
        let marked = self.mark(target, found);
        let other_table = found.table.as_ref().is_some_and(|table| *table != self.table);
        if other_table || found.incarnation.is_some_and(|at| Some(at) != marked.incarnation) {
            return Standing::Foreign { found: name(found), ours: name(&marked) };
        }
        if found.epoch > self.epoch {
            return Standing::Fenced(Fenced { ours: self.epoch, found: found.epoch });
        }
        if marked == *found { Standing::Ours } else { Standing::Open }
    }

    /// The descriptor in the name of this registration.
    pub(crate) fn mark(&self, target: &str, descriptor: &Descriptor) -> Descriptor {
        let known = self.sites.0.get(target);
        Descriptor {
            table: Some(self.table.clone()),
            project: Some(self.project.clone()),
            // What is not known of a target stays as it was found.
            site: known.map(|(site, _)| site.clone()).or_else(|| descriptor.site.clone()),
            incarnation: known.map(|(_, incarnation)| *incarnation).or(descriptor.incarnation),
            epoch: self.epoch,
            ..descriptor.clone()
        }
    }
}

fn name(descriptor: &Descriptor) -> String {
    let table = descriptor.table.as_deref().unwrap_or("a table without a name");
    match descriptor.incarnation {
        Some(incarnation) => format!("{table} (incarnation {incarnation})"),
        None => table.to_owned(),
    }
}
