//! What words two texts share.
//!
//! Words are compared by how they begin, because Finnish, Swedish and English put their endings behind: "laskussani" and
//! "laskun" are one word here. Words that every message has say nothing. Long words say more than short ones.

use std::{collections::BTreeSet, sync::LazyLock};

/// Letters by which words are compared.
const STEM: usize = 5;
/// Shortest word that is looked at, in letters.
const SHORTEST: usize = 3;
/// Words of one text that are looked at.
const MAX_WORDS: usize = 400;
/// Words that a text counts as having at least, so that a line of three words is not all about them.
const LEAST: usize = 5;

/// What most messages say, in the three languages: greetings, thanks, and words without content.
const EMPTY_WORDS: &str = "about after again all also and answer any are ask been best but can could day dear did does for \
    from get good had has have hello help her here hey him his how into just know like mail message more morning much \
    need not now one our out please question regards same she should some still subject support than thank thanks that \
    the their them then there they this want was were what when where which who why will with would write yes yet you \
    your yours sincerely aamu asia asiakas ehkä ehk eikä ei että ette etta hei heippa hän ilman itse jälkeen joka jos \
    kanssa kaikki kiitos kiitoksia kun kuin kuinka koska kysymys kysyä kysyisin minä mina minun minulle minulla mikä \
    mitä mita miten missä moi moikka mutta myös nyt olen olemme olisi olla oli ollut onko ovat paljon pitäisi saada \
    saanut saisinko sekä siis sinä sitä tai tämä tässä tätä tällä teille teidän teiltä terve terveisin ystävällisin \
    toivon vaan vai vastaus vielä viesti vuoksi apua voisitteko voitteko alla att bara bli det den denna detta dig din \
    där efter eller ett fråga från för god hade han har hej hjälp hon hur inte jag kan kunde med men mig min mina mycket \
    mvh måste ni när och också om oss så skulle som svar tack till ut var vara vi vad vill hälsningar vänliga vänligen";

static EMPTY: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| EMPTY_WORDS.split_whitespace().collect());

/// The words of a text, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bag(BTreeSet<String>);

impl Bag {
    /// Reads texts.
    #[must_use]
    pub fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let words = texts
            .into_iter()
            .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()).filter_map(word));
        Self(words.take(MAX_WORDS).collect())
    }

    /// Words that both have.
    #[must_use]
    pub fn common(&self, other: &Self) -> usize {
        self.0.intersection(&other.0).count()
    }

    fn weight(&self) -> usize {
        let least = LEAST * STEM;
        self.0.iter().map(|it| weight(it)).sum::<usize>().max(least)
    }
}

/// A word as it is compared; `None` if it says nothing.
fn word(written: &str) -> Option<String> {
    let lower = written.to_lowercase();
    let letters = lower.chars().count();
    let says = letters >= SHORTEST
        && lower.chars().any(char::is_alphabetic)
        && !EMPTY.contains(lower.as_str());
    says.then(|| lower.chars().take(STEM).collect())
}

/// What is cut at [`STEM`] letters says the most.
fn weight(word: &str) -> usize {
    word.chars().count()
}

/// How much two texts share of the shorter one, from 0 to 100. It is the same whichever comes first.
#[must_use]
pub fn similarity(one: &Bag, other: &Bag) -> u8 {
    let shared: usize = one.0.intersection(&other.0).map(|it| weight(it)).sum();
    let least = one.weight().min(other.weight());
    u8::try_from((shared * 100 / least).min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn likeness(one: &str, other: &str) -> u8 {
        similarity(&Bag::of([one]), &Bag::of([other]))
    }

    #[test]
    fn the_same_matter_in_other_words_is_alike() {
        let pairs = [
            (
                "The coffee machine leaks water from the bottom since Monday, the warranty is still valid",
                "hi, my coffee machine is leaking water again, is that under warranty?",
            ),
            (
                "Lasku on väärin: laskussani on hyvityksen sijaan kuljetusmaksu",
                "Moi, mites se hyvitys? Laskun kuljetusmaksu on yhä väärin",
            ),
            (
                "Paketet skickades till fel adress i Göteborg",
                "hej, paketet har fel adress, ska till Göteborg",
            ),
        ];
        for (one, other) in pairs {
            let score = likeness(one, other);
            assert!(score >= 50, "{score}: {one} / {other}");
        }
    }

    #[test]
    fn another_matter_is_not_even_with_the_same_manners() {
        let pairs = [
            (
                "Hello, can you help me please? My coffee machine leaks water",
                "Hello, can you help me please? I forgot the password of my account",
            ),
            ("Hei, mitä kuuluu?", "Hei, onko teillä auki huomenna?"),
            ("Thanks!", "Thanks!"),
        ];
        for (one, other) in pairs {
            let score = likeness(one, other);
            assert!(score < 40, "{score}: {one} / {other}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_from_both_sides_and_whole_for_itself(one in ".{0,200}", other in ".{0,200}") {
            let (a, b) = (Bag::of([one.as_str()]), Bag::of([other.as_str()]));
            prop_assert_eq!(similarity(&a, &b), similarity(&b, &a));
            prop_assert!(similarity(&a, &a) <= 100);
            prop_assert!(similarity(&a, &a) >= similarity(&a, &b));
        }
    }
}
