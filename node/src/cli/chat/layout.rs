//! Where everything is on the screen, at any size: two panes from sixty columns on, else one at a time.

use ratatui::layout::Rect;

use super::input::Size;

/// Fewer columns have one pane.
const TWO_PANES_COLUMNS: u16 = 60;
/// Columns of the list beside a conversation.
const LIST_COLUMNS_MIN: u16 = 16;
const LIST_COLUMNS_MAX: u16 = 28;
/// Rows of a text that is being written, at the most.
const COMPOSER_ROWS_MAX: u16 = 8;
/// Rows of a notice, at the most.
const NOTICE_ROWS_MAX: u16 = 4;
/// Columns before a text that is being written.
pub(crate) const PROMPT_COLUMNS: u16 = 2;

/// Parts of the screen; those for which there is no room are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Areas {
    /// All of it but the status line.
    pub(crate) whole: Rect,
    /// Contacts.
    pub(crate) list: Rect,
    /// The line between the panes.
    pub(crate) divider: Rect,
    /// With whom the conversation is.
    pub(crate) head: Rect,
    /// What was said.
    pub(crate) history: Rect,
    /// What the last command brought, or did not.
    pub(crate) notice: Rect,
    /// The line above what is written.
    pub(crate) rule: Rect,
    /// What is written.
    pub(crate) composer: Rect,
    /// The node, and the keys.
    pub(crate) status: Rect,
}

/// Columns of the right pane, or of the one pane.
pub(crate) fn pane_columns(size: Size) -> u16 {
    if has_two_panes(size) { size.columns - list_columns(size) - 1 } else { size.columns }
}

/// Whether list and conversation are side by side.
pub(crate) fn has_two_panes(size: Size) -> bool {
    size.columns >= TWO_PANES_COLUMNS
}

fn list_columns(size: Size) -> u16 {
    (size.columns / 4).clamp(LIST_COLUMNS_MIN, LIST_COLUMNS_MAX)
}

impl Areas {
    /// For this size; whether the list is shown where there is one pane; rows that the text being written and the
    /// notice want.
    pub(crate) fn of(size: Size, list_first: bool, composer_rows: usize, notice_rows: usize) -> Self {
        let Size { columns, rows } = size;
        let rect = |x, y, width, height| Rect { x, y, width, height };
        let status_rows = u16::from(rows >= 3);
        let body = rows - status_rows;
        let whole = rect(0, 0, columns, body);
        let list_width = match (has_two_panes(size), list_first) {
            (true, _) => list_columns(size),
            (false, true) => columns,
            (false, false) => 0,
        };
        let divider_width = u16::from(has_two_panes(size));
        let (left, width) = (list_width + divider_width, columns - list_width - divider_width);

        let wanted = |rows: usize, most: u16| u16::try_from(rows).unwrap_or(u16::MAX).min(most);
        let composer_rows = wanted(composer_rows.max(1), COMPOSER_ROWS_MAX.min((body / 3).max(1))).min(body);
        let head_rows = u16::from(body >= 4);
        let rule_rows = u16::from(body >= 9);
        let rest = body - composer_rows - head_rows.min(body - composer_rows);
        let notice_rows = wanted(notice_rows, NOTICE_ROWS_MAX.min(rest));
        let rule_rows = rule_rows.min(rest - notice_rows);
        let history_rows = rest - notice_rows - rule_rows;
        Self {
            whole,
            list: rect(0, 0, list_width, body),
            divider: rect(list_width, 0, divider_width, body),
            head: rect(left, 0, width, head_rows),
            history: rect(left, head_rows, width, history_rows),
            notice: rect(left, head_rows + history_rows, width, notice_rows),
            rule: rect(left, head_rows + history_rows + notice_rows, width, rule_rows),
            composer: rect(left, body - composer_rows, width, composer_rows),
            status: rect(0, body, columns, status_rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_overlap_and_never_leave_the_screen() {
        for columns in [0, 1, 5, 20, 59, 60, 80, 300] {
            for rows in 0..40 {
                for (list_first, composer, notice) in [(true, 1, 0), (false, 1, 9), (false, 99, 1), (true, 0, 99)] {
                    let size = Size { columns, rows };
                    let areas = Areas::of(size, list_first, composer, notice);
                    let parts = [
                        areas.list,
                        areas.divider,
                        areas.head,
                        areas.history,
                        areas.notice,
                        areas.rule,
                        areas.composer,
                        areas.status,
                    ];
                    let cells: u32 = parts.iter().map(|part| part.area()).sum();
                    assert_eq!(cells, u32::from(columns) * u32::from(rows), "{size:?} {areas:?}");
                    for (place, part) in parts.iter().enumerate() {
                        assert!(part.right() <= columns && part.bottom() <= rows, "{size:?} {areas:?}");
                        let others = parts.iter().skip(place + 1);
                        assert!(others.into_iter().all(|other| part.intersection(*other).is_empty()), "{areas:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn panes_depend_on_columns() {
        let areas = |columns| Areas::of(Size { columns, rows: 24 }, false, 1, 0);
        assert_eq!(areas(80).list.width, 20);
        assert_eq!(areas(80).history.width, 59);
        assert_eq!(areas(59).list.width, 0);
        assert_eq!(areas(59).history.width, 59);
    }
}
