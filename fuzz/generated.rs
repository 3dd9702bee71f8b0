//! Has the properties of what strangers send to sign in hold of many generated inputs, without a fuzzer and so on every
//! machine: `generated COUNT [NAME…]`.

use roadstead_fuzz::oci::generated::{Property, generate};
use roadstead_fuzz::{auth, http};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().and_then(|count| count.parse().ok());
    let count: u64 = count.expect("the first argument is how many inputs each property gets");
    let names: Vec<String> = arguments.collect();
    let all = [auth::properties::ALL, auth::signed::properties::ALL, http::properties::ALL];
    let chosen = |(name, _): &&Property| names.is_empty() || names.iter().any(|it| it == name);
    std::thread::scope(|scope| {
        for (name, property) in all.into_iter().flatten().filter(chosen) {
            scope.spawn(move || {
                let begun = std::time::Instant::now();
                generate(name, *property, count);
                println!("{name}: {count} inputs in {} s", begun.elapsed().as_secs());
            });
        }
    });
}
