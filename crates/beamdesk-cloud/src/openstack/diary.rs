//! What happened to a server since it was made, in its description.
//!
//! Metadata and tags of a server that is put away cannot be changed; its description can, in every
//! state (nova/compute/api.py, `update_instance`). So what a start changes stands there: it is
//! announced before Nova is asked, and known to have happened when the server is on.

use beamdesk_types::{CardAddress, NodeName};

use super::server::{card_list, cards_of};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Diary {
    /// Of the last start that is known to have happened.
    pub(super) generation: Option<u32>,
    /// Where it was to lie then.
    pub(super) node: Option<NodeName>,
    /// What it was to hold there.
    pub(super) cards: Option<Vec<CardAddress>>,
    /// Of a start that was announced.
    pub(super) next: Option<u32>,
    /// We put it away, nobody else.
    pub(super) put_away: bool,
}

/// Nova's limit for a description.
const CHARS_MAX: usize = 255;
const FIRST_WORD: &str = "beamdesk";
const PUT_AWAY: &str = "put-away";

impl Diary {
    /// Words of others are passed over: an administrator may write into a description too.
    pub(super) fn read(description: &str) -> Self {
        let mut diary = Self::default();
        for word in description.split_whitespace() {
            match word.split_once('=') {
                Some(("generation", number)) => diary.generation = number.parse().ok(),
                Some(("next", number)) => diary.next = number.parse().ok(),
                Some(("node", node)) => diary.node = node.parse().ok(),
                Some(("cards", list)) => diary.cards = Some(cards_of(list)),
                None if word == PUT_AWAY => diary.put_away = true,
                Some(_) | None => {}
            }
        }
        diary
    }

    /// Without the cards where they do not fit: then those of its making are shown.
    pub(super) fn write(&self) -> String {
        let mut words = vec![FIRST_WORD.to_owned()];
        words.extend(self.generation.map(|number| format!("generation={number}")));
        words.extend(self.node.as_ref().map(|node| format!("node={node}")));
        words.extend(self.next.map(|number| format!("next={number}")));
        words.extend(self.put_away.then(|| PUT_AWAY.to_owned()));
        let mut text = words.join(" ");
        if let Some(cards) = &self.cards {
            let cards = format!(" cards={}", card_list(cards));
            if text.len() + cards.len() <= CHARS_MAX {
                text.push_str(&cards);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Diary;

    fn full(cards: usize) -> Diary {
        let card = |n| format!("0000:{n:02x}:00.0").parse().unwrap();
        Diary {
            generation: Some(u32::MAX - 1),
            node: Some("n".repeat(64).parse().unwrap()),
            cards: Some((0..cards).map(card).collect()),
            next: Some(u32::MAX),
            put_away: true,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for diary in [Diary::default(), Diary { put_away: true, ..Diary::default() }, full(8)] {
            assert_eq!(Diary::read(&diary.write()), diary);
        }
    }

    #[test]
    fn it_fits_into_a_description() {
        let text = full(64).write();
        assert!(text.len() <= 255, "{}", text.len());
        assert_eq!(Diary::read(&text), Diary { cards: None, ..full(0) });
    }

    #[test]
    fn words_of_others_are_passed_over() {
        let text = "Do not touch! generation=x next=4 color=blue node=Not/One (Anna)";
        assert_eq!(Diary::read(text), Diary { next: Some(4), ..Diary::default() });
        assert_eq!(Diary::read(""), Diary::default());
    }
}
