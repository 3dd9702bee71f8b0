//! What was measured, as one table.

/// Some figures of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn new(figures: Vec<f64>) -> Self {
        let mut figures = figures;
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn greatest(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    fn text(&self, digits: usize) -> String {
        let (first, last) =
            (self.0.first().unwrap_or(&f64::NAN), self.0.last().unwrap_or(&f64::NAN));
        if self.0.len() == 1 {
            return format!("{first:.digits$}");
        }
        format!("{:.digits$} ({first:.digits$} to {last:.digits$})", self.median())
    }

    /// The text of ratios, with where their median lies.
    fn ratio(&self) -> String {
        let interval = interval(&self.0);
        let interval = interval.map(|(low, high)| format!(", 95 %: {low:.2} to {high:.2}"));
        format!("{}{}", self.text(2), interval.unwrap_or_default())
    }
}

/// Returns where the median lies, by how the sorted figures are spread: of all such intervals 95 of 100 or more have
/// it in them. None where there are too few.
fn interval(sorted: &[f64]) -> Option<(f64, f64)> {
    // The chance that of so many throws of a coin at most `below` are heads, for as long as it is small enough.
    let count = sorted.len();
    let (mut chance, mut term, mut below) = (0.0, 0.5_f64.powi(i32::try_from(count).ok()?), None);
    for heads in 0..count / 2 {
        chance += term;
        if chance > 0.025 {
            break;
        }
        below = Some(heads);
        #[expect(clippy::cast_precision_loss, reason = "there are few rounds")]
        let next = (count - heads) as f64 / (heads + 1) as f64;
        term *= next;
    }
    let below = below?;
    Some((sorted[below], sorted[count - 1 - below]))
}

/// A row of the table: what was done, by whom, how fast, and against whom.
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) goal: String,
    pub(crate) subject: String,
    /// The figure and its unit.
    pub(crate) figure: (Figures, &'static str),
    /// Ours against this subject's, round by round; above one, ours is the better.
    pub(crate) ratio: Option<Figures>,
}

/// Prints the table as Markdown.
pub(crate) fn print(rows: &[Row]) {
    let mut lines = vec![
        ["work", "goal", "who", "median (min to max)", "Roadstead's ÷ theirs"].map(str::to_owned),
    ];
    for row in rows {
        lines.push([
            row.work.clone(),
            row.goal.clone(),
            row.subject.clone(),
            format!("{} {}", row.figure.0.text(1), row.figure.1),
            row.ratio.as_ref().map(Figures::ratio).unwrap_or_default(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or_default()).collect();
    for (index, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} "));
        println!("|{}|", cells.collect::<Vec<_>>().join("|"));
        if index == 0 {
            let rule = widths.iter().map(|width| "-".repeat(width + 2));
            println!("|{}|", rule.collect::<Vec<_>>().join("|"));
        }
    }
}
