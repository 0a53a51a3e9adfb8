//! The stock policies: made-up tenants, made-up questions.
//!
//! The interpreter is asked three times: with the policies as the gate has them (some packages worked out beforehand), as they are
//! written, and in the words that the virtual machine's compiler takes. The machine is asked in those words.

use portcullis_engines::chance::{Chance, rounds};
use portcullis_engines::{Both, Interpreter, Said, stock};
use regorus::Value;
use serde_json::Value as Json;

/// Questions for each tenant's file.
const QUESTIONS: usize = 20;

/// Every how many questions the policies are asked as they are written, which takes long.
const AS_WRITTEN: usize = 10;

/// A tenant's file, and questions.
fn cases(files: u64) -> impl Iterator<Item = (Json, Vec<Value>)> {
    (0..files).map(|round| {
        let mut chance = Chance::of(round);
        let tenants = stock::tenants(&mut chance);
        let questions = (0..QUESTIONS).map(|_| stock::value(&stock::input(&mut chance))).collect();
        (tenants, questions)
    })
}

fn allows(answer: &[Said]) -> bool {
    answer[0] == Said::Value(true.into())
}

#[test]
fn the_interpreter_answers_alike_whatever_is_worked_out_beforehand_and_however_it_is_said() {
    let both = stock::both();
    let (mut asked, mut allowed) = (0_usize, 0_usize);
    for (tenants, questions) in cases(rounds(20)) {
        let settled = stock::data(&tenants);
        let mut gates = Interpreter::new(&stock::open(), &settled, &stock::KEYS);
        let mut written = Interpreter::new(&stock::modules(), &stock::plain(&tenants), &stock::KEYS);
        let mut hoisted = both.with(&settled);
        for (at, question) in questions.into_iter().enumerate() {
            let answer = gates.ask(&question);
            if at % AS_WRITTEN == 0 {
                assert_eq!(answer, written.ask(&question), "as written\n{tenants}\n{question}");
            }
            assert_eq!(answer, hoisted.interpret(&question), "said otherwise\n{tenants}\n{question}");
            assert!(
                answer.iter().all(|said| matches!(said, Said::Value(_))),
                "{answer:?}\n{tenants}\n{question}"
            );
            asked += 1;
            allowed += usize::from(allows(&answer));
        }
    }
    println!("{asked} questions, {allowed} allowed");
    assert!(allowed * 10 > asked, "too few questions come through to say much");
}

/// Why the machine is left out. When this fails, it has changed: read the figures, and the decision, again.
#[test]
fn the_virtual_machine_does_not_take_the_stock_policies_and_would_allow_too_much() {
    let refused = Both::compile(&stock::open(), &stock::KEYS).err().unwrap();
    assert!(refused.contains("should have been hoisted"), "{refused}");
    let both = stock::both();
    let (mut asked, mut differ, mut wider) = (0_usize, 0_usize, 0_usize);
    for (tenants, questions) in cases(rounds(20)) {
        let mut pair = both.with(&stock::data(&tenants));
        for question in questions {
            let (right, machine) = (pair.interpret(&question), pair.run(&question));
            asked += 1;
            differ += usize::from(!right.iter().zip(&machine).all(|(one, other)| one.agrees(other)));
            wider += usize::from(!allows(&right) && allows(&machine));
        }
    }
    println!("{asked} questions: {differ} answered differently, {wider} allowed that the policies refuse");
    assert!(differ > 0 && wider > 0);
}
