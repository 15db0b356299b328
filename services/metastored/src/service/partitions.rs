//! Partitions of Hudi tables. Others have none here: their logs tell.
//!
//! Names and rows are asked for one after the other, without a version. So a name that was listed
//! can be fetched for as long as its files are there: see [`Snapshot::gone`].

use std::sync::Arc;

use super::tables::{Published, is_hudi};
use super::{Answer, Failure, Metastore};
use crate::answer::Value;
use crate::call::{Counted, PartitionBy, TableOf, Wrap};
use crate::face;
use crate::hive;
use crate::snapshot::{Folder, Snapshot};

/// Partitions whose rows one call may ask for.
const ROWS_MAX: usize = 100_000;

/// A table and what its replica holds.
struct Looked {
    published: Published,
    snapshot: Arc<Snapshot>,
}

impl Looked {
    fn row(&self, values: &[String], folder: &str) -> hive::Partition {
        face::partition(self.published.subject(), &self.snapshot, values, folder)
    }

    /// The row of a partition that is listed, or was.
    fn find(&self, values: &[String]) -> Option<hive::Partition> {
        let Snapshot { partitions, gone, .. } = &*self.snapshot;
        let folder = partitions.get(values).or_else(|| gone.get(values))?;
        Some(self.row(values, folder))
    }
}

impl Metastore {
    /// `None` where the table has no partitions that a metastore knows.
    async fn looked(&self, of: &TableOf) -> Result<Option<Looked>, Failure> {
        if let Some(pinned) = self.pinned(&of.database.to_lowercase()).await? {
            self.pinned_table(&pinned, of).await?;
            return Ok(None);
        }
        let published = self.published(of).await?;
        if !is_hudi(&published.table) {
            return Ok(None);
        }
        let snapshot = self.snapshots.snapshot(&published.table, &published.place).await?;
        Ok(Some(Looked { published, snapshot }))
    }

    pub(super) async fn fields(&self, of: &TableOf, all: bool) -> Answer {
        let Some(looked) = self.looked(of).await? else {
            let cols = self.row(of).await?.sd.and_then(|sd| sd.cols);
            return Ok(Value::structures(&cols.unwrap_or_default())?);
        };
        Ok(Value::structures(&face::columns(&looked.snapshot, all))?)
    }

    /// Names of partitions with these values; an empty value is any, and so are those left out.
    pub(super) async fn partition_names(
        &self,
        of: &TableOf,
        values: &[String],
        max: Option<usize>,
    ) -> Result<Vec<String>, Failure> {
        let Some(looked) = self.looked(of).await? else { return Ok(Vec::new()) };
        let columns = &looked.snapshot.partition_columns;
        let partitions = looked.snapshot.partitions.keys();
        let partitions = partitions.filter(|partition| has(partition, values));
        let names = partitions.map(|partition| face::name(columns, partition));
        Ok(names.take(max.unwrap_or(usize::MAX)).collect())
    }

    /// One partition.
    pub(super) async fn partition(
        &self,
        of: &TableOf,
        by: PartitionBy,
    ) -> Result<hive::Partition, Failure> {
        let (values, asked) = match by {
            PartitionBy::Values(values) => {
                let asked = values.join("/");
                (values, asked)
            }
            PartitionBy::Name(name) => (values_in(&name), name),
        };
        let found = self.looked(of).await?.and_then(|looked| looked.find(&values));
        found.ok_or_else(|| {
            let TableOf { database, table } = of;
            Failure::Missing(format!("partition {asked} of {database}.{table} does not exist"))
        })
    }

    /// Rows of partitions with these values.
    pub(super) async fn partitions(
        &self,
        of: &TableOf,
        values: &[String],
        max: Option<usize>,
        answer: Wrap,
    ) -> Answer {
        let Some(looked) = self.looked(of).await? else { return none(answer) };
        let partitions = looked.snapshot.partitions.iter();
        let found: Vec<_> = partitions
            .filter(|(partition, _)| has(partition, values))
            .take(max.unwrap_or(usize::MAX))
            .collect();
        rows(&looked, &found, answer)
    }

    /// Rows of those partitions that are there.
    pub(super) async fn partitions_by_name(
        &self,
        of: &TableOf,
        names: &[String],
        answer: Wrap,
    ) -> Answer {
        let Some(looked) = self.looked(of).await? else { return none(answer) };
        let Snapshot { partitions, gone, .. } = &*looked.snapshot;
        let find = |name: &String| {
            let values = values_in(name);
            partitions.get_key_value(&values).or_else(|| gone.get_key_value(&values))
        };
        let found: Vec<_> = names.iter().filter_map(find).collect();
        rows(&looked, &found, answer)
    }

    /// Rows of all partitions, or how many there are.
    pub(super) async fn partitions_by_filter(
        &self,
        of: &TableOf,
        filter: &str,
        max: Option<usize>,
        answer: Counted,
    ) -> Answer {
        if !filter.trim().is_empty() {
            let text = "filters on partitions are not understood: ask for all of them";
            return Err(Failure::Meta(text.to_owned()));
        }
        match answer {
            Counted::Rows => self.partitions(of, &[], max, Wrap::Bare).await,
            Counted::Number => {
                let count = self.partition_names(of, &[], None).await?.len();
                Ok(Value::number(i32::try_from(count).unwrap_or(i32::MAX))?)
            }
        }
    }
}

/// Rows, made one by one: each repeats the columns of its table.
fn rows(looked: &Looked, found: &[(&Vec<String>, &Folder)], answer: Wrap) -> Answer {
    if found.len() > ROWS_MAX {
        let text = format!("rows of {} partitions at once: {ROWS_MAX} at most", found.len());
        return Err(Failure::Meta(text));
    }
    let rows = found.iter().map(|(values, folder)| looked.row(values, folder));
    Ok(Value::rows(answer, found.len(), rows)?)
}

fn none(answer: Wrap) -> Answer {
    Ok(Value::rows(answer, 0, std::iter::empty::<hive::Partition>())?)
}

fn values_in(name: &str) -> Vec<String> {
    face::values_in(name).into_iter().map(|(_, value)| value).collect()
}

fn has(partition: &[String], values: &[String]) -> bool {
    values.len() <= partition.len()
        && partition.iter().zip(values).all(|(has, value)| value.is_empty() || has == value)
}
