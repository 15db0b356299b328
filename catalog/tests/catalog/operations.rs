//! Operations.

use driftless_catalog::transition::OperationState;
use driftless_catalog::{Catalog, CatalogError, NewOperation, OperationKind};

use crate::databases::NOW;
use crate::on_both;
use crate::tables::{new_table, seeded};

on_both!(operations_begin_and_end, cancelling);

fn new(table: Option<&str>) -> NewOperation {
    NewOperation {
        kind: OperationKind::Sync,
        table_id: table.map(str::to_owned),
        resource: "lake.sales.orders".to_owned(),
        request: serde_json::json!({}),
        actor: "ci".to_owned(),
    }
}

async fn operations_begin_and_end(catalog: Catalog) {
    seeded(&catalog).await;
    let table = catalog.register(&new_table("lake.sales.orders"), NOW).await.unwrap();
    let before = catalog.newest_wake().await.unwrap();
    let begun = catalog.begin_operation(&new(Some(&table.id)), NOW).await.unwrap();
    assert_eq!(catalog.newest_wake().await.unwrap(), before + 1);
    // Asked for twice before it began: one.
    let same = catalog.begin_operation(&new(Some(&table.id)), NOW + 1).await.unwrap();
    assert_eq!(same, begun);
    let open = catalog.open_operations(Some(&table.id)).await.unwrap();
    assert_eq!(open, std::slice::from_ref(&begun));
    assert!(catalog.open_operations(None).await.unwrap().is_empty());
    let half = serde_json::json!({"done": 1});
    let step = async |state, progress, error| {
        catalog.advance(&begun.id, state, (progress, error), NOW + 2).await.unwrap()
    };
    assert!(step(OperationState::Running, Some(&half), None).await);
    assert!(step(OperationState::Failed, None, Some("why")).await);
    assert!(!step(OperationState::Succeeded, None, None).await);
    let read = catalog.operation(&begun.id).await.unwrap();
    assert_eq!(
        (read.state, &read.progress, read.error),
        (OperationState::Failed, &half, Some("why".to_owned()))
    );
    let next = catalog.begin_operation(&new(Some(&table.id)), NOW + 3).await.unwrap();
    let ids: Vec<_> =
        catalog.operations(None, 9).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids, [next.id.clone(), begun.id]);
    assert_eq!(catalog.operations(Some(&next.id), 9).await.unwrap().len(), 1);
    let error = catalog.operation("gone").await.unwrap_err();
    assert!(matches!(error, CatalogError::NotFound { .. }), "{error}");
}

async fn cancelling(catalog: Catalog) {
    let waiting = catalog.begin_operation(&new(None), NOW).await.unwrap();
    let cancelled = catalog.cancel(&waiting.id, NOW).await.unwrap();
    assert_eq!(cancelled.state, OperationState::Cancelled);
    let running = catalog.begin_operation(&new(None), NOW).await.unwrap();
    catalog.advance(&running.id, OperationState::Running, (None, None), NOW).await.unwrap();
    let asked = catalog.cancel(&running.id, NOW).await.unwrap();
    assert_eq!((asked.state, asked.cancel), (OperationState::Running, true));
    // An ended one stays as it is.
    let again = catalog.cancel(&waiting.id, NOW + 9).await.unwrap();
    assert_eq!(again, cancelled);
}
