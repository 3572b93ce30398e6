// The votes of a comparison: kept in the browser, and written to a file for `artbank votes`.
//
// What the browser has kept may be of an older page or damaged: whatever is not a vote of this page is left out.
"use strict";

window.artbank = {};

(() => {
    const told = JSON.parse(document.getElementById("comparison").dataset.comparison);
    const PLACE = `artbank.votes.${told.comparison}`;
    const CHOICES = ["A", "B", "tie"];

    let state = {voter: newVoter(), votes: {}, saved: 0};  // votes by the pair's number, from 1
    let isKept = true;

    function newVoter() {
        const numbers = crypto.getRandomValues(new Uint8Array(16));
        return Array.from(numbers, (number) => number.toString(16).padStart(2, "0")).join("");
    }

    function isVote([pair, vote]) {
        const number = Number(pair);
        return Number.isInteger(number) && number >= 1 && number <= told.pairs.length && vote !== null
            && typeof vote === "object" && CHOICES.includes(vote.choice) && !Number.isNaN(Date.parse(vote.at));
    }

    // Reads what another tab or an earlier visit has kept; without it this visit's own votes stay.
    function read() {
        try {
            const kept = JSON.parse(localStorage.getItem(PLACE));
            if (!kept || !/^[0-9a-f]{32}$/.test(kept.voter)) return;
            const votes = Object.fromEntries(Object.entries(kept.votes || {}).filter(isVote));
            state = {voter: kept.voter, votes, saved: Number(kept.saved) || 0};
        } catch (error) {
            if (!(error instanceof SyntaxError)) isKept = false;
        }
    }

    function write() {
        try {
            localStorage.setItem(PLACE, JSON.stringify(state));
        } catch {
            isKept = false;
        }
    }

    function vote(pair, choice) {
        read();
        state.votes[pair] = {choice, at: new Date().toISOString()};
        write();
    }

    function startAnew() {
        state = {voter: newVoter(), votes: {}, saved: 0};
        write();
    }

    function download() {
        read();
        const votes = Object.entries(state.votes).map(([pair, {choice, at}]) => ({pair: Number(pair), choice, at}));
        const file = {format: "artbank.votes/1", comparison: told.comparison, voter: state.voter, votes};
        const url = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], {type: "application/json"}));
        const name = `votes-${told.comparison}-${state.voter.slice(0, 8)}.json`;
        Object.assign(document.createElement("a"), {href: url, download: name}).click();
        setTimeout(() => URL.revokeObjectURL(url), 60000);
        state.saved = Date.now();
        write();
    }

    const numVotes = () => Object.keys(state.votes).length;
    const numUnsaved = () => Object.values(state.votes).filter((one) => Date.parse(one.at) > state.saved).length;

    read();
    Object.assign(artbank, {
        told, read, vote, startAnew, download, numVotes, numUnsaved,
        choiceOf: (pair) => (state.votes[pair] || {}).choice,
        isKept: () => isKept,
        isOurs: (event) => event.key === PLACE || event.key === null,
    });
})();
