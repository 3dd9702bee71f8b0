//! The order in which a repository takes its manifests.

/// Orders manifests, of each of which it is said which ones it names, so that each comes after those; in time that
/// follows their number. Nothing names itself, since a digest depends on what it is the digest of.
pub(super) fn children_first(children: &[Vec<usize>]) -> Vec<usize> {
    let mut parents: Vec<Vec<usize>> = vec![Vec::new(); children.len()];
    let mut open: Vec<usize> = children.iter().map(Vec::len).collect();
    for (position, children) in children.iter().enumerate() {
        for child in children {
            parents[*child].push(position);
        }
    }
    let mut ordered: Vec<usize> =
        (0..children.len()).filter(|position| children[*position].is_empty()).collect();
    let mut done = 0;
    while let Some(position) = ordered.get(done).copied() {
        for parent in std::mem::take(&mut parents[position]) {
            open[parent] -= 1;
            if open[parent] == 0 {
                ordered.push(parent);
            }
        }
        done += 1;
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 500_000;

    #[test]
    fn children_come_first_also_in_a_long_chain() {
        assert_eq!(children_first(&[]), [0; 0]);
        assert_eq!(children_first(&[vec![2, 1], vec![], vec![1, 1], vec![0]]), [1, 2, 0, 3]);
        // Each names the next: with a pass for each this would not end.
        let chain: Vec<Vec<usize>> = (0..LENGTH)
            .map(|position| if position + 1 < LENGTH { vec![position + 1] } else { Vec::new() })
            .collect();
        assert!(children_first(&chain).into_iter().eq((0..LENGTH).rev()));
    }
}
