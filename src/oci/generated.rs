//! Inputs for properties: the seeds of `fuzz/seeds/`, and what a generator makes of them.
//!
//! The tests of each room that has properties call [`check`] with few inputs, and the program `generated` of `fuzz/` with many.

use std::path::Path;

/// A property, and the name of its target.
pub type Property = (&'static str, fn(&[u8]));

/// How many inputs a test generates for each property.
#[cfg(test)]
const INPUTS: u64 = 10_000;

/// The longest input, about.
const LONGEST: usize = 4096;

/// What parsers stumble over.
const PIECES: &[&[u8]] = &[
    b"",
    b" ",
    b":",
    b"::",
    b",",
    b"*",
    b"**",
    b"/",
    b"//",
    b".",
    b"..",
    b"-",
    b"_",
    b"%",
    b"%2",
    b"%00",
    b"+",
    b"&",
    b"=",
    b"==",
    b"\n",
    b"\r\n",
    b"\t",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\xff",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"null",
    b"true",
    b"0",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"none",
    b"HS256",
    b"RS256",
    b"EdDSA",
    b"Basic ",
    b"Bearer ",
    b"rds_",
    b"repository:",
    b"registry:catalog:*",
    b"pull",
    b"push",
    b"delete",
    b"(plugin)",
    b"scope=",
    b"grant_type=password",
    b"grant_type=refresh_token",
    b"\"alg\":\"none\"",
    b"\"exp\":",
    b"\"crit\":[\"x\"]",
    b"e30",
];

/// Reads the seeds of a property: lines of hexadecimal digits, and of comments.
///
/// # Panics
/// Where there are none.
#[must_use]
pub fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package of the targets is a folder of the registry's.
    let folders = [folder.join("fuzz/seeds"), folder.join("seeds")];
    let file = folders.iter().map(|it| it.join(format!("{name}.hex"))).find(|it| it.is_file());
    let file = file.unwrap_or_else(|| panic!("there are no seeds of {name}"));
    let text = std::fs::read_to_string(file).expect("a file of the repository can be read");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).expect("they are digits");
        u8::from_str_radix(pair, 16).expect("they are digits")
    };
    lines.map(|line| line.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// Has each property hold of its seeds, of each of them with a byte changed or cut, and of generated inputs. `TEST_SEED`
/// begins the generator as an earlier run did, which has printed it.
///
/// # Panics
/// Where one does not hold.
#[cfg(test)]
pub(crate) fn check(properties: &[Property]) {
    for (name, property) in properties {
        for seed in seeds(name) {
            property(&seed);
            // Of a long one, not each.
            for at in (0..seed.len()).step_by(1 + seed.len() / 300) {
                property(&seed[..at]);
                for byte in [b'"', b'0', b' ', 0x7f, 0xff] {
                    let mut changed = seed.clone();
                    changed[at] = byte;
                    property(&changed);
                }
            }
        }
        generate(name, *property, INPUTS);
    }
}

/// Has a property hold of so many generated inputs.
///
/// # Panics
/// Where it does not; the input is printed.
pub fn generate(name: &str, property: fn(&[u8]), count: u64) {
    let start = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let start = start.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(1, |since| since.as_secs() ^ u64::from(since.subsec_nanos()))
    });
    eprintln!("{name}: TEST_SEED={start}");
    let seeds = seeds(name);
    let mut random = Random(start.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..count {
        let input = Input(random.input(&seeds));
        property(&input.0);
    }
}

/// An input, which is printed if its property does not hold.
struct Input(Vec<u8>);

impl Drop for Input {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let digits = self.0.iter().fold(String::new(), |all, byte| format!("{all}{byte:02x}"));
            eprintln!("of this input it does not hold:\n{digits}");
        }
    }
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Makes an input: of a seed with a few edits, or now and then of any bytes.
    fn input(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        if self.below(20) == 0 {
            let length = self.below(200);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(6) {
            self.edit(&mut input, seeds);
        }
        input.truncate(LONGEST);
        input
    }

    fn edit(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(8)).min(input.len());
        match self.below(8) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 if at < input.len() => input[at] = self.byte(),
            3 if at < input.len() => input[at] ^= 1 << self.below(8),
            4 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => {
                let part = input[at..].to_vec();
                let to = self.below(input.len() + 1);
                drop(input.splice(to..to, part));
            }
            _ => {
                let piece = PIECES[self.below(PIECES.len())];
                drop(input.splice(at..end, piece.iter().copied()));
            }
        }
        input.truncate(2 * LONGEST);
    }
}
