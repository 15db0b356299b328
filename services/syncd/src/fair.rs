//! Fair order: who goes next when many wait for the same thing.
//!
//! Two levels of start-time fair queueing (Goyal, Vin and Cheng, 1996): projects share by their
//! weight, and within a project its tables by theirs. Whoever waits is served in proportion to its
//! weight, whatever the others have in front of them. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};

/// Who waits, and with which weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) project: String,
    /// Of the project, beside other projects.
    pub(crate) project_weight: u32,
    pub(crate) table: String,
    /// Of the table, beside other tables of the project.
    pub(crate) table_weight: u32,
}

/// Virtual times have this many steps for one unit of cost at weight 1.
const SCALE: u64 = 1_024;

/// One level: queues by name, each with its virtual start.
#[derive(Debug)]
struct Level<Q> {
    queues: HashMap<String, (u64, Q)>,
    /// Names of queues that are not empty, by start.
    order: BTreeMap<(u64, u64), String>,
    /// Start of what was served last: nobody who comes later begins before it.
    now: u64,
    next: u64,
}

impl<Q> Default for Level<Q> {
    fn default() -> Self {
        Self { queues: HashMap::new(), order: BTreeMap::new(), now: 0, next: 0 }
    }
}

impl<Q: Default> Level<Q> {
    fn enqueue(&mut self, name: &str, put: impl FnOnce(&mut Q) -> bool) {
        let now = self.now;
        let (start, queue) = self.queues.entry(name.to_owned()).or_insert((now, Q::default()));
        if put(queue) {
            *start = (*start).max(now);
            self.next += 1;
            self.order.insert((*start, self.next), name.to_owned());
        }
    }

    /// Takes from the first queue. `take` also says what it costs and whether more is there.
    fn dequeue<T>(&mut self, take: impl FnOnce(&mut Q) -> Option<(T, u64, bool)>) -> Option<T> {
        let (key, name) = self.order.pop_first()?;
        self.now = key.0;
        let (start, queue) = self.queues.get_mut(&name)?;
        let (item, cost, more) = take(queue)?;
        *start = key.0.saturating_add(cost.max(1));
        if more {
            self.next += 1;
            self.order.insert((*start, self.next), name);
        } else if *start <= self.now.saturating_add(SCALE) {
            // It owes nothing worth keeping; its memory is not kept either.
            self.queues.remove(&name);
        }
        if self.order.is_empty() {
            self.queues.clear();
        }
        Some(item)
    }
}

/// A table's items, each with its cost.
#[derive(Debug)]
struct Items<T> {
    items: VecDeque<(u64, T)>,
    weight: u32,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), weight: 1 }
    }
}

/// A project's tables.
#[derive(Debug)]
struct Tables<T> {
    level: Level<Items<T>>,
    weight: u32,
    waiting: usize,
}

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self { level: Level::default(), weight: 1, waiting: 0 }
    }
}

/// Waiting items in fair order.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    projects: Level<Tables<T>>,
    waiting: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { projects: Level::default(), waiting: 0 }
    }
}

impl<T> FairQueue<T> {
    /// Adds an item that takes `cost` of what is waited for.
    pub(crate) fn push(&mut self, flow: &Flow, cost: u64, item: T) {
        self.waiting += 1;
        self.projects.enqueue(&flow.project, |tables| {
            tables.weight = flow.project_weight.max(1);
            tables.level.enqueue(&flow.table, |items| {
                items.weight = flow.table_weight.max(1);
                items.items.push_back((cost, item));
                items.items.len() == 1
            });
            tables.waiting += 1;
            tables.waiting == 1
        });
    }

    /// The next item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.projects.dequeue(|tables| {
            let (cost, item) = tables.level.dequeue(|items| {
                let (cost, item) = items.items.pop_front()?;
                let share = scaled(cost, items.weight);
                Some(((cost, item), share, !items.items.is_empty()))
            })?;
            tables.waiting -= 1;
            Some((item, scaled(cost, tables.weight), tables.waiting > 0))
        })?;
        self.waiting -= 1;
        Some(item)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }
}

fn scaled(cost: u64, weight: u32) -> u64 {
    cost.saturating_mul(SCALE) / u64::from(weight.max(1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn flow(project: &str, project_weight: u32, table: &str, table_weight: u32) -> Flow {
        let (project, table) = (project.to_owned(), table.to_owned());
        Flow { project, project_weight, table, table_weight }
    }

    fn served(queue: &mut FairQueue<&'static str>, count: usize) -> HashMap<&'static str, usize> {
        let mut served = HashMap::new();
        for _ in 0..count {
            *served.entry(queue.pop().unwrap()).or_default() += 1;
        }
        served
    }

    #[test]
    fn one_table_with_much_does_not_delay_one_with_little() {
        let mut queue = FairQueue::default();
        for _ in 0..1_000 {
            queue.push(&flow("pp", 1, "huge", 1), 1, "huge");
        }
        served(&mut queue, 500);
        queue.push(&flow("pp", 1, "small", 1), 1, "small");
        queue.push(&flow("qq", 1, "other", 1), 1, "other");
        let next = served(&mut queue, 4);
        assert_eq!((next.get("small"), next.get("other")), (Some(&1), Some(&1)), "{next:?}");
        assert_eq!(queue.len(), 498);
    }

    #[test]
    fn projects_and_tables_share_by_weight() {
        let mut queue = FairQueue::default();
        let flows = [
            (flow("pp", 3, "a", 1), "p.a"),
            (flow("pp", 3, "b", 2), "p.b"),
            (flow("qq", 1, "c", 1), "q.c"),
        ];
        for (flow, item) in &flows {
            for _ in 0..4_000 {
                queue.push(flow, 10, *item);
            }
        }
        let served = served(&mut queue, 4_000);
        // Three quarters to the first project, of which a third to its first table.
        for (item, expect) in [("p.a", 1_000), ("p.b", 2_000), ("q.c", 1_000)] {
            assert!(served[item].abs_diff(expect) <= 5, "{item}: {served:?}");
        }
    }

    #[test]
    fn large_items_count_as_such() {
        let mut queue = FairQueue::default();
        for _ in 0..2_000 {
            queue.push(&flow("pp", 1, "large", 1), 9, "large");
            queue.push(&flow("pp", 1, "small", 1), 1, "small");
        }
        let served = served(&mut queue, 1_000);
        assert!(served["small"].abs_diff(900) <= 2, "{served:?}");
    }

    #[test]
    fn who_was_idle_has_saved_nothing() {
        let mut queue = FairQueue::default();
        queue.push(&flow("pp", 1, "idle", 1), 1, "idle");
        queue.pop();
        for _ in 0..1_000 {
            queue.push(&flow("pp", 1, "busy", 1), 1, "busy");
        }
        served(&mut queue, 500);
        for _ in 0..100 {
            queue.push(&flow("pp", 1, "idle", 1), 1, "idle");
        }
        let served = served(&mut queue, 100);
        assert!(served["busy"].abs_diff(50) <= 1, "{served:?}");
    }

    #[test]
    fn nothing_is_lost_and_order_within_a_table_stays() {
        let mut queue = FairQueue::default();
        let mut random = 7u64;
        let mut chance = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let mut last: HashMap<u64, u64> = HashMap::new();
        let mut taken = 0u64;
        let mut pushed = 0u64;
        while pushed < 5_000 || queue.len() > 0 {
            if pushed < 5_000 && chance(3) > 0 {
                let table = chance(9);
                let project = ["pp", "qq", "rr"][(table % 3) as usize];
                let flow = flow(project, 1 + (table % 3) as u32, &table.to_string(), 1);
                queue.push(&flow, chance(1_000), (table, pushed));
                pushed += 1;
            } else if let Some((table, number)) = queue.pop() {
                assert!(last.insert(table, number).is_none_or(|before| before < number));
                taken += 1;
            }
        }
        assert_eq!(taken, 5_000);
        assert!(queue.projects.queues.is_empty());
    }
}
