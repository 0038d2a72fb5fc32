//! A file, or some lines of it, as a model gets to see it. Pure.

/// A file, or the lines of it that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    pub path: String,
    pub text: String,
    /// First line shown and how many the file has, when it is not shown whole.
    pub part: Option<(usize, usize)>,
    /// Why these lines: `definition of gcd`, `calls gcd`.
    pub why: Option<String>,
}

/// What the fence around a file takes, its path included, and what the lines and the reason of a part take more.
pub(super) fn frame(path: &str) -> usize {
    path.len() + 60
}
const PART: usize = 60;

impl Excerpt {
    pub(super) fn whole(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into(), part: None, why: None }
    }

    /// The lines `first..=last` (from 1) of a text, as far as there are.
    pub(super) fn lines(path: &str, text: &str, first: usize, last: usize, why: String) -> Self {
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let shown = &lines[(first.max(1) - 1).min(lines.len())
            ..last.min(lines.len()).max(first.max(1) - 1).min(lines.len())];
        let part = Some((first.max(1), lines.len()));
        Self { path: path.into(), text: shown.concat(), part, why: Some(why) }
    }

    /// As many whole lines around `line` (from 1) as fit into `room` bytes.
    pub(super) fn window(path: &str, text: &str, line: usize, room: usize) -> Self {
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        let middle = line.clamp(1, lines.len().max(1)) - 1;
        let (mut first, mut end, mut used) = (middle, middle, 0);
        loop {
            let before = used;
            if end < lines.len() && used + lines[end].len() <= room {
                used += lines[end].len();
                end += 1;
            }
            if first > 0 && used + lines[first - 1].len() <= room {
                first -= 1;
                used += lines[first].len();
            }
            if used == before {
                break;
            }
        }
        let part = Some((first + 1, lines.len()));
        Self { path: path.into(), text: lines[first..end].concat(), part, why: None }
    }

    /// First and last line, from 1.
    pub(super) fn range(&self) -> (usize, usize) {
        let first = self.part.map_or(1, |(first, _)| first);
        (first, first + self.text.lines().count().max(1) - 1)
    }

    /// Whether this shows the lines `first..=last` of `path`.
    pub(super) fn shows(&self, path: &str, first: usize, last: usize) -> bool {
        let (from, to) = self.range();
        self.path == path && (self.part.is_none() || from <= first && last <= to)
    }

    /// What it takes of the room, its frame included.
    pub(super) fn size(&self) -> usize {
        self.text.len() + frame(&self.path) + if self.part.is_some() { PART } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_around_its_line() {
        let text = (1..=5000).map(|n| format!("line {n}\n")).collect::<String>();
        let found = Excerpt::window("a.py", &text, 2500, 1200);
        assert!(found.text.contains("line 2500\n") && found.text.len() <= 1200);
        assert_eq!(found.part.unwrap().1, 5000);
        assert!(
            found.shows("a.py", 2490, 2500) && !found.shows("a.py", 1, 2) && !found.shows("b.py", 2490, 2500)
        );
    }

    #[test]
    fn lines_beyond_the_end_are_none() {
        let shown = |first, last| Excerpt::lines("a", "1\n2\n3", first, last, String::new()).text;
        assert_eq!(shown(2, 3), "2\n3");
        assert_eq!(shown(3, 9), "3");
        assert_eq!(shown(8, 9), "");
        assert_eq!(shown(3, 2), "");
    }
}
