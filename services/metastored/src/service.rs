//! What is answered to each call.

mod partitions;
mod pinned;
mod tables;

use std::sync::Arc;

use driftless_catalog::{Catalog, CatalogError};

use crate::answer::{ApplicationError, Failure, Throws, Value};
use crate::call::{Call, Nothing, Service, Statistics, Wrap, method};
use crate::snapshot::{LookError, Snapshots};
use crate::{face, hive, pattern};

/// Longest pattern or filter.
const PATTERN_BYTES_MAX: usize = 4_096;

/// What a person is told who tries to write.
const READ_ONLY: &str = "read-only: register tables in Driftless";

/// `ALIVE`, in `fb303`.
const ALIVE: i32 = 2;

/// A result, or why there is none.
type Answer = Result<Value, Failure>;

/// Answers the calls of one listener: see [`crate::Options`].
pub(crate) struct Metastore {
    pub(crate) catalog: Catalog,
    pub(crate) project: String,
    pub(crate) site: String,
    pub(crate) trino_catalog: String,
    pub(crate) snapshots: Arc<dyn Snapshots>,
}

impl Metastore {
    /// Answers a call, and says where its result declares exceptions.
    pub(crate) async fn answer(&self, name: &str, arguments: &[u8]) -> (Throws, Answer) {
        let Some(method) = method(name) else {
            let text = format!("{name} is unknown: this metastore is read-only, for engines");
            let throws = Throws { meta: None, missing: None };
            return (throws, Err(Failure::Application(ApplicationError::UnknownMethod, text)));
        };
        let answer = match method.call(arguments) {
            Ok(call) => self.answer_call(call).await,
            Err(error) => {
                let text = format!("the arguments of {name} do not decode: {error}");
                Err(Failure::Application(ApplicationError::Protocol, text))
            }
        };
        (method.throws, answer)
    }

    async fn answer_call(&self, call: Call) -> Answer {
        match call {
            Call::SetUser { groups } => Ok(Value::texts(&groups)?),
            Call::Databases { pattern } => self.databases(pattern.as_deref()).await,
            Call::Database { name } => self.database(&name).await,
            Call::Tables { database, pattern, kind } => {
                self.table_names(&database, &pattern, kind.as_deref()).await
            }
            Call::TableMetas { databases, tables, kinds } => {
                self.table_metas(&databases, &tables, &kinds).await
            }
            Call::TablesByFilter { database, filter, max } => {
                self.tables_by_filter(&database, &filter, max).await
            }
            Call::Table { of, answer } => {
                let table = self.row(&of).await?;
                Ok(match answer {
                    Wrap::Bare => Value::structure(&table)?,
                    Wrap::Struct => Value::structure(&hive::TableResult { table })?,
                })
            }
            Call::TablesByName { database, names, answer } => {
                let tables = self.rows(&database, names).await?;
                Ok(match answer {
                    Wrap::Bare => Value::structures(&tables)?,
                    Wrap::Struct => Value::structure(&hive::TablesResult { tables })?,
                })
            }
            Call::Fields { of, all } => self.fields(&of, all).await,
            Call::PartitionNames { of, values, max, answer } => {
                let names = self.partition_names(&of, &values, max).await?;
                Ok(match answer {
                    Wrap::Bare => Value::texts(&names)?,
                    Wrap::Struct => Value::structure(&hive::NamesResult { names })?,
                })
            }
            Call::Partition { of, by, answer } => {
                let partition = self.partition(&of, by).await?;
                Ok(match answer {
                    Wrap::Bare => Value::structure(&partition)?,
                    Wrap::Struct => Value::structure(&hive::PartitionResult { partition })?,
                })
            }
            Call::Partitions { of, values, max, answer } => {
                self.partitions(&of, &values, max, answer).await
            }
            Call::PartitionsByName { of, names, answer } => {
                self.partitions_by_name(&of, &names, answer).await
            }
            Call::PartitionsByExpr { of, max } => {
                let partitions = self.partitions(&of, &[], max, Wrap::Struct).await?;
                // None was looked at with the expression: the client is to do so.
                Ok(partitions.and_flag(2, true))
            }
            Call::PartitionsByFilter { of, filter, max, answer } => {
                self.partitions_by_filter(&of, &filter, max, answer).await
            }
            Call::Statistics { of, shape } => {
                self.known_table(&of).await?;
                statistics(shape)
            }
            other => self.answer_plain(other),
        }
    }

    /// Answers what needs no look at anything.
    fn answer_plain(&self, call: Call) -> Answer {
        match call {
            Call::PartitionName { name, columns } => {
                let pairs = face::values_in(&name);
                let values = || pairs.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
                Ok(if columns { Value::pairs(&pairs)? } else { Value::texts(&values())? })
            }
            Call::Nothing(shape) => nothing(shape),
            Call::Function { database, name } => {
                // Spark looks for these words to call a function unresolved.
                Err(Failure::Missing(format!("Function {database}.{name} does not exist")))
            }
            Call::Setting { default } => Ok(Value::text(&default)?),
            Call::Catalogs => {
                let names = vec![face::CATALOG.to_owned()];
                Ok(Value::structure(&hive::NamesResult { names })?)
            }
            Call::Catalog { name } if name == face::CATALOG => {
                let catalog = hive::Catalog {
                    name: Some(name),
                    description: None,
                    location_uri: Some(String::new()),
                };
                Ok(Value::structure(&hive::CatalogResult { catalog })?)
            }
            Call::Catalog { name } => {
                Err(Failure::Missing(format!("catalog {name} does not exist")))
            }
            Call::Service(question) => self.service(question),
            Call::Token => {
                Err(Failure::Meta("there are no delegation tokens here: use TLS".to_owned()))
            }
            // What is left was answered before; a new kind of call is refused until it is.
            _ => Err(Failure::Meta(READ_ONLY.to_owned())),
        }
    }

    fn service(&self, question: Service) -> Answer {
        Ok(match question {
            Service::Name => Value::text("Driftless metastore")?,
            Service::Version => Value::text("3.0")?,
            Service::Status => Value::number(ALIVE)?,
            Service::StatusDetails => Value::text("")?,
            Service::AliveSince => Value::long(0)?,
            Service::Identity => Value::text(&format!("{}@{}", self.project, self.site))?,
        })
    }
}

fn statistics(shape: Statistics) -> Answer {
    Ok(match shape {
        Statistics::Column => return Err(Failure::Missing("there are no statistics".to_owned())),
        Statistics::Table => {
            Value::structure(&hive::TableStatisticsResult { table_stats: Vec::new() })?
        }
        Statistics::Partitions => {
            let part_stats = std::collections::BTreeMap::new();
            Value::structure(&hive::PartitionStatisticsResult { part_stats })?
        }
        Statistics::Aggregate => {
            Value::structure(&hive::AggregateStatistics { col_stats: Vec::new(), parts_found: 0 })?
        }
    })
}

fn nothing(shape: Nothing) -> Answer {
    Ok(match shape {
        Nothing::List => Value::texts(&[""; 0])?,
        Nothing::Struct => Value::structure(&hive::EmptyList { items: Vec::new() })?,
        Nothing::Empty => Value::structure(&hive::EmptyStruct {})?,
        Nothing::EventId => Value::structure(&hive::EventId { event_id: 0 })?,
        Nothing::Void => Value::nothing(),
    })
}

/// Whether a pattern may be looked at.
fn checked(pattern: &str) -> Result<&str, Failure> {
    if pattern.len() > PATTERN_BYTES_MAX {
        let text = format!("a pattern has {PATTERN_BYTES_MAX} bytes at most");
        return Err(Failure::Meta(text));
    }
    Ok(pattern)
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern::matches(pattern, name)
}

impl From<thrift::Error> for Failure {
    fn from(error: thrift::Error) -> Self {
        Self::Application(ApplicationError::Internal, error.to_string())
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        if let CatalogError::NotFound { .. } = &error {
            return Self::Missing(error.to_string());
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "the catalog did not answer");
        Self::Meta("the catalog does not answer; try again".to_owned())
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "a replica was not looked at");
        Self::Meta(error.to_string())
    }
}
