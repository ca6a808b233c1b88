//! What validating by a schema can cost.
//!
//! Definitions (the whole schema, and every part that is referred to) which lead back to each other form a cycle. If
//! each of a cycle's definitions comes back to the cycle at most once for any value within the one it is applied to,
//! then each value is looked at once by each, and the cost of the cycle adds up over the data. With twice, it would
//! double with every level. What is not in a cycle is applied as often as references lead to it.

use super::schema::InvalidSchema;

/// The most subschemas, every reference followed that is not in a cycle.
pub const MAX_SUBSCHEMAS: usize = 20_000;
/// The most subschemas that apply to one value, one because of the other: with the data's depth it bounds the stack.
const MAX_IN_PLACE: usize = 16;
/// How deep the data may be nested: what is deeper is not parsed.
const MAX_DATA_DEPTH: usize = 128;
/// The most cycles that lead from one to the next: each may go through all that is below each value.
const MAX_CYCLES: usize = 2;

/// A subschema, as far as it matters what it is applied to.
#[derive(Debug, Clone, Default)]
pub(super) struct Part {
    /// Where it is, as a JSON pointer.
    pub at: String,
    /// The definition that is applied to the same value.
    pub refers: Option<usize>,
    /// What else is applied to the same value.
    pub in_place: Vec<Part>,
    /// What is applied to the members of an object: of each group at most one to any member.
    pub members: Vec<Vec<Part>>,
    /// The same for the elements of a list.
    pub elements: Vec<Vec<Part>>,
}

impl Part {
    pub(super) fn leaf(at: &str) -> Self {
        Self { at: at.to_owned(), ..Self::default() }
    }

    /// It and all parts in it, references not followed.
    fn all(&self) -> Vec<&Self> {
        let mut all = vec![self];
        let mut next = 0;
        while let Some(part) = all.get(next).copied() {
            let inside = part.members.iter().chain(&part.elements).flatten();
            all.extend(part.in_place.iter().chain(inside));
            next += 1;
        }
        all
    }

    fn references(&self) -> Vec<usize> {
        self.all().into_iter().filter_map(|part| part.refers).collect()
    }
}

/// Checks what the definitions of a schema, the whole one first, can cost together. Answers how many subschemas may be
/// applied to any value at most.
pub(super) fn check(definitions: &[Part]) -> Result<usize, InvalidSchema> {
    let references: Vec<Vec<usize>> = definitions.iter().map(Part::references).collect();
    let reached: Vec<Vec<bool>> = (0..definitions.len()).map(|from| reached(&references, from)).collect();
    let mut costs = Costs {
        definitions,
        references: &references,
        reached: &reached,
        heights: vec![Height::Unknown; definitions.len()],
        totals: vec![None; definitions.len()],
    };
    for (index, definition) in definitions.iter().enumerate() {
        costs.ways(definition, index)?;
        for part in definition.all() {
            costs.height(part)?;
        }
        let total = costs.total(index);
        if total.subschemas > MAX_SUBSCHEMAS {
            let why = format!("with every reference followed there are over {MAX_SUBSCHEMAS} subschemas: refer less");
            return Err(InvalidSchema::new(&definition.at, why));
        }
        if total.cycles > MAX_CYCLES {
            let why = format!(
                "definitions that contain themselves lead on to others that do, more than {MAX_CYCLES} in a row"
            );
            return Err(InvalidSchema::new(&definition.at, why));
        }
    }
    let whole = costs.total(0);
    Ok(whole.subschemas * if whole.cycles > 0 { MAX_DATA_DEPTH } else { 1 })
}

/// Which definitions one or more references lead to.
fn reached(references: &[Vec<usize>], from: usize) -> Vec<bool> {
    let mut reached = vec![false; references.len()];
    let mut waiting = references[from].clone();
    while let Some(definition) = waiting.pop() {
        if !std::mem::replace(&mut reached[definition], true) {
            waiting.extend(&references[definition]);
        }
    }
    reached
}

/// In how many ways a part, applied to an object or to a list, comes back to its cycle.
#[derive(Debug, Clone, Copy, Default)]
struct Ways {
    object: usize,
    list: usize,
}

impl Ways {
    /// For something inside the value, which is an object or a list, not both.
    fn most(self) -> usize {
        self.object.max(self.list)
    }
}

#[derive(Debug, Clone, Copy)]
enum Height {
    Unknown,
    BeingMeasured,
    Known(usize),
}

/// What is in a definition and all that it leads to.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    subschemas: usize,
    cycles: usize,
}

struct Costs<'a> {
    definitions: &'a [Part],
    references: &'a [Vec<usize>],
    reached: &'a [Vec<bool>],
    /// By definition: how many subschemas apply to one value because of it.
    heights: Vec<Height>,
    totals: Vec<Option<Total>>,
}

impl Costs<'_> {
    /// Whether the definitions are in one cycle.
    fn in_cycle(&self, one: usize, other: usize) -> bool {
        self.reached[one][other] && self.reached[other][one]
    }

    fn ways(&self, part: &Part, definition: usize) -> Result<Ways, InvalidSchema> {
        let back = usize::from(part.refers.is_some_and(|target| self.in_cycle(definition, target)));
        let mut ways = Ways { object: back, list: back };
        for other in &part.in_place {
            let more = self.ways(other, definition)?;
            ways.object += more.object;
            ways.list += more.list;
        }
        ways.object += self.ways_inside(&part.members, definition)?;
        ways.list += self.ways_inside(&part.elements, definition)?;
        if ways.most() > 1 {
            let why = "the schema applies itself to the same value in more than one way, so that validating would take \
                       twice as long with every level of the data: leave one";
            return Err(InvalidSchema::new(&part.at, why));
        }
        Ok(ways)
    }

    fn ways_inside(&self, groups: &[Vec<Part>], definition: usize) -> Result<usize, InvalidSchema> {
        let mut sum = 0;
        for group in groups {
            let mut most = 0;
            for part in group {
                most = most.max(self.ways(part, definition)?.most());
            }
            sum += most;
        }
        Ok(sum)
    }

    /// How many subschemas apply to one value because of the part, one because of the other.
    fn height(&mut self, part: &Part) -> Result<usize, InvalidSchema> {
        let mut height = 0;
        for other in &part.in_place {
            height = height.max(self.height(other)?);
        }
        if let Some(target) = part.refers {
            height = height.max(self.height_of(target, &part.at)?);
        }
        if height >= MAX_IN_PLACE {
            let why =
                format!("over {MAX_IN_PLACE} subschemas apply to one value, one because of the other: nest them less");
            return Err(InvalidSchema::new(&part.at, why));
        }
        Ok(height + 1)
    }

    fn height_of(&mut self, definition: usize, at: &str) -> Result<usize, InvalidSchema> {
        match self.heights[definition] {
            Height::Known(height) => Ok(height),
            Height::BeingMeasured => {
                Err(InvalidSchema::new(at, "the reference leads back to itself without going into the value"))
            }
            Height::Unknown => {
                self.heights[definition] = Height::BeingMeasured;
                let definitions = self.definitions;
                let height = self.height(&definitions[definition])?;
                self.heights[definition] = Height::Known(height);
                Ok(height)
            }
        }
    }

    /// What is in the definition's cycle, or in it alone, and in all that this leads to.
    fn total(&mut self, definition: usize) -> Total {
        if let Some(total) = self.totals[definition] {
            return total;
        }
        let is_cycle = self.in_cycle(definition, definition);
        let together =
            (0..self.definitions.len()).filter(|other| *other == definition || self.in_cycle(definition, *other));
        let together: Vec<usize> = together.collect();
        let mut total = Total::default();
        for member in &together {
            total.subschemas = total.subschemas.saturating_add(self.definitions[*member].all().len());
            for target in self.references[*member].iter().filter(|target| !together.contains(*target)) {
                let further = self.total(*target);
                total.subschemas = total.subschemas.saturating_add(further.subschemas);
                total.cycles = total.cycles.max(further.cycles);
            }
        }
        total.cycles += usize::from(is_cycle);
        for member in together {
            self.totals[member] = Some(total);
        }
        total
    }
}
