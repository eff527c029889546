//! Compares embedded engines as the store's log.
//!
//! `log-engines DIR` writes groups of encoded records to each engine below `DIR`, one fsync per group, with the log cut
//! at every 64 MiB as a checkpoint does, and prints samples per second and the latency of a group.
//! `log-engines DIR damage` flips single bytes in the files of a closed log and counts what can still be read.
//!
//! A record has 14 samples and takes 80 bytes: 56 of values, 24 of entity, time, and flags. Values are random, so
//! nothing compresses.

mod engines;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engines::{Engine, FjallLog, RaftLog, RedbLog};

const SAMPLES_PER_RECORD: u64 = 14;
const RECORD_BYTES: usize = 80;
const CUT_BYTES: u64 = 64 << 20;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(
        arguments
            .next()
            .unwrap_or_else(|| "log-engines-data".to_owned()),
    );
    match arguments.next().as_deref() {
        None => throughput(&dir),
        Some("damage") => damage(&dir),
        Some(other) => eprintln!("unknown mode `{other}`; the only one is `damage`"),
    }
    std::fs::remove_dir_all(&dir).ok();
}

fn throughput(dir: &Path) {
    println!(
        "| engine | records per group | samples/s | group p50 ms | group p99 ms | MB on disk |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for records in [100, 1_000, 10_000] {
        bench::<FjallLog>(dir, records);
        bench::<RedbLog>(dir, records);
        bench::<RaftLog>(dir, records);
        bench_plain_file(dir, records);
    }
}

/// Groups for about five seconds; the engine is dropped and its folder removed afterwards.
fn bench<E: Engine>(dir: &Path, records: usize) {
    let path = dir.join(E::NAME);
    std::fs::remove_dir_all(&path).ok();
    std::fs::create_dir_all(&path).expect("create the folder");
    let mut engine = E::open(&path).expect("open a new log");
    let mut noise = Noise(7);
    let mut latencies = Vec::new();
    let (mut since_cut, mut first_kept) = (0u64, 1u64);
    let started = Instant::now();
    let mut sequence = 0u64;
    while started.elapsed() < Duration::from_secs(5) {
        sequence += 1;
        let group = noise.group(sequence, records * RECORD_BYTES);
        let began = Instant::now();
        engine.append(sequence, &group).expect("append");
        latencies.push(began.elapsed());
        since_cut += group.len() as u64;
        if since_cut >= CUT_BYTES {
            engine.cut(first_kept, sequence).expect("cut");
            (first_kept, since_cut) = (sequence + 1, 0);
        }
    }
    report(
        E::NAME,
        records,
        &mut latencies,
        started.elapsed(),
        disk_bytes(&path),
    );
    drop(engine);
    std::fs::remove_dir_all(&path).ok();
}

/// The bound that no engine can pass: the same bytes appended to one file.
fn bench_plain_file(dir: &Path, records: usize) {
    use std::io::Write;
    let path = dir.join("plain");
    std::fs::create_dir_all(dir).expect("create the folder");
    let mut file = std::fs::File::create(&path).expect("create the file");
    let mut noise = Noise(7);
    let mut latencies = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        let group = noise.group(latencies.len() as u64 + 1, records * RECORD_BYTES);
        let began = Instant::now();
        file.write_all(&group)
            .and_then(|()| file.sync_data())
            .expect("append");
        latencies.push(began.elapsed());
    }
    report("plain file", records, &mut latencies, started.elapsed(), 0);
    std::fs::remove_file(&path).ok();
}

fn report(name: &str, records: usize, latencies: &mut [Duration], elapsed: Duration, disk: u64) {
    let samples = latencies.len() as u64 * records as u64 * SAMPLES_PER_RECORD;
    latencies.sort_unstable();
    let at = |quantile: f64| {
        latencies[((latencies.len() - 1) as f64 * quantile) as usize].as_secs_f64() * 1e3
    };
    let rate = samples as f64 / elapsed.as_secs_f64();
    println!(
        "| {name} | {records} | {rate:.0} | {:.2} | {:.2} | {} |",
        at(0.5),
        at(0.99),
        disk >> 20
    );
}

fn damage(dir: &Path) {
    println!(
        "200 groups of 100 records, closed; one byte flipped at 60 random offsets below the last written one, each in a fresh copy."
    );
    println!(
        "| engine | intact | lost only damaged groups | lost more groups | cannot be opened | panicked | worst loss (of 200) |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    damage_of::<FjallLog>(dir);
    damage_of::<RedbLog>(dir);
    damage_of::<RaftLog>(dir);
}

fn damage_of<E: Engine>(dir: &Path) {
    let (whole, broken) = (dir.join("whole"), dir.join("broken"));
    std::fs::remove_dir_all(&whole).ok();
    std::fs::create_dir_all(&whole).expect("create the folder");
    let mut noise = Noise(11);
    let mut engine = E::open(&whole).expect("open a new log");
    for sequence in 1..=200 {
        engine
            .append(sequence, &noise.group(sequence, 100 * RECORD_BYTES))
            .expect("append");
    }
    drop(engine);
    copy_folder(&whole, &broken);
    let unharmed = E::open(&broken)
        .and_then(|engine| engine.readable(200))
        .expect("an unharmed copy opens");
    assert_eq!(unharmed, 200, "{} reads back what it wrote", E::NAME);
    std::panic::set_hook(Box::new(|_| {}));
    let [
        mut intact,
        mut only,
        mut more,
        mut refused,
        mut panicked,
        mut worst,
    ] = [0u32; 6];
    for _ in 0..60 {
        copy_folder(&whole, &broken);
        flip_one_byte(&broken, &mut noise);
        let outcome =
            std::panic::catch_unwind(|| E::open(&broken).and_then(|engine| engine.readable(200)));
        match outcome {
            Err(_) => (panicked, worst) = (panicked + 1, 200),
            Ok(Err(_)) => (refused, worst) = (refused + 1, 200),
            Ok(Ok(200)) => intact += 1,
            Ok(Ok(199)) => (only, worst) = (only + 1, worst.max(1)),
            Ok(Ok(n)) => (more, worst) = (more + 1, worst.max(200 - n)),
        }
    }
    let _ = std::panic::take_hook();
    println!(
        "| {} | {intact} | {only} | {more} | {refused} | {panicked} | {worst} |",
        E::NAME
    );
}

/// Flips a byte among those that hold data (the files are preallocated; flipping zeros past the end proves nothing).
fn flip_one_byte(dir: &Path, noise: &mut Noise) {
    let mut files = Vec::new();
    list(dir, &mut files);
    let sizes: Vec<(PathBuf, Vec<u8>)> = files
        .into_iter()
        .filter_map(|p| Some((p.clone(), std::fs::read(p).ok()?)))
        .collect();
    let used: Vec<usize> = sizes
        .iter()
        .map(|(_, b)| b.iter().rposition(|&x| x != 0).map_or(0, |p| p + 1))
        .collect();
    let mut at = (noise.next() % used.iter().sum::<usize>() as u64) as usize;
    for ((path, bytes), used) in sizes.iter().zip(used) {
        if at < used {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            std::fs::write(path, bytes).expect("write the damaged file");
            return;
        }
        at -= used;
    }
}

fn list(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            list(&entry.path(), into)
        } else {
            into.push(entry.path())
        }
    }
    into.sort();
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir_all(to).expect("create the folder");
    for entry in std::fs::read_dir(from).expect("read the folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copy a file");
        }
    }
}

fn disk_bytes(dir: &Path) -> u64 {
    let mut files = Vec::new();
    list(dir, &mut files);
    files
        .iter()
        .filter_map(|f| std::fs::metadata(f).ok())
        .map(|m| m.len())
        .sum()
}

/// SplitMix64.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A group as the store writes it: checksum, then sequence number, then bytes.
    fn group(&mut self, sequence: u64, bytes: usize) -> Vec<u8> {
        let mut group = vec![0; 4];
        group.extend_from_slice(&sequence.to_le_bytes());
        while group.len() < bytes {
            group.extend_from_slice(&self.next().to_le_bytes());
        }
        let checksum = crc32fast::hash(&group[4..]);
        group[..4].copy_from_slice(&checksum.to_le_bytes());
        group
    }
}

/// Whether a group read back is the one that was written.
fn is_intact(sequence: u64, group: &[u8]) -> bool {
    group.len() > 12
        && group[..4] == crc32fast::hash(&group[4..]).to_le_bytes()
        && group[4..12] == sequence.to_le_bytes()
}
