//! Mutated messages: whatever comes, the reader ends, and reads no further than there are bytes.
//!
//! `DRIFTLESS_FUZZ_SEED` chooses another seed, `DRIFTLESS_FUZZ_ROUNDS` more of them.

use driftless_metastored::read_message;
use fastrand::Rng;

use crate::client::{framed, message, texts};
use crate::golden::calls;

const SEED: u64 = 7;
const ROUNDS: usize = 20_000;
const LIMIT: usize = 64 * 1024;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.usize(1..4) {
        if bytes.is_empty() {
            bytes.push(rng.u8(..));
        }
        let at = rng.usize(..bytes.len());
        match rng.u8(0..6) {
            0 => bytes[at] = rng.u8(..),
            1 => bytes[at] ^= 1 << rng.u8(0..8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, rng.u8(..)),
            // A length that is another one.
            4 => {
                let length = [0, 1, 255, 65_536, i32::MAX as u32, u32::MAX][rng.usize(0..6)];
                let end = (at + 4).min(bytes.len());
                bytes.splice(at..end, length.to_be_bytes());
            }
            _ => {
                let end = rng.usize(at..=bytes.len());
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
        }
    }
}

#[test]
fn mutated_messages_end_within_what_is_there() {
    let seed = variable("DRIFTLESS_FUZZ_SEED").unwrap_or(SEED);
    let rounds = variable("DRIFTLESS_FUZZ_ROUNDS").unwrap_or(ROUNDS as u64);
    let mut seeds: Vec<Vec<u8>> = calls().into_iter().map(|(_, call)| call).collect();
    seeds.push(framed(&texts("get_table", &["sales", "orders"])));
    seeds.push(message("get_partition", &[15, 0, 3, 11, 0, 0, 0, 1, 0, 0, 0, 1, b'x', 0]));
    let own = seeds.len();
    seeds.extend(crate::replays::requests());
    eprintln!(
        "{own} seeds of our own, {} in all, {rounds} mutations from seed {seed}",
        seeds.len()
    );
    for (at, bytes) in seeds.iter().enumerate() {
        let read = read_message(bytes, LIMIT);
        assert_eq!(read, Ok(Some((bytes.len(), true))), "seed {at} is no call");
    }
    let mut rng = Rng::with_seed(seed);
    let mut taken = 0;
    for _ in 0..rounds {
        let mut bytes = seeds[rng.usize(..seeds.len())].clone();
        mutate(&mut bytes, &mut rng);
        let read = read_message(&bytes, LIMIT);
        if let Ok(Some((length, _))) = read {
            assert!(length <= bytes.len(), "{bytes:02x?}");
            // The same message behind which more comes, and the same in two pieces.
            let more = [&bytes[..length], &[0xff; 9]].concat();
            assert_eq!(read_message(&more, LIMIT), read, "{bytes:02x?}");
            taken += 1;
        }
    }
    assert!(taken > rounds / 10, "{taken} of {rounds} are messages: nothing deep is reached");
}

#[test]
fn a_prefix_of_a_message_is_never_refused() {
    for (name, call) in calls() {
        for end in 0..call.len() {
            assert_eq!(read_message(&call[..end], LIMIT), Ok(None), "{name} {end}");
        }
    }
}

#[test]
fn what_is_longer_than_the_limit_is_refused_before_it_comes() {
    let call = texts("get_table", &["sales", &"x".repeat(LIMIT)]);
    for bytes in [&call[..], &framed(&call)] {
        assert!(read_message(&bytes[..64], LIMIT).is_err());
    }
    // Many small values instead of a long one.
    let mut many = vec![15, 0, 9, 2];
    many.extend(2_000_000_u32.to_be_bytes());
    many.resize(2_000_008, 1);
    many.push(0);
    let refused = read_message(&message("get_all_databases", &many), 16 << 20).unwrap_err();
    assert!(refused.contains("values"), "{refused}");
}
