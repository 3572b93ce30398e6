// Picks, rejects and ratings: kept in this browser under the page's address, downloaded for `artbank export-picks`.
//
// What the browser has kept may be damaged or written by another version: whatever is not a mark is left out.
"use strict";

(() => {
    const PLACE = `artbank.marks.${location.pathname}`;
    const DECISIONS = ["pick", "reject"];
    const NO_MARK = Object.freeze({decision: null, stars: 0});

    let marks = new Map();  // by style and key, see `nameOf`
    let isKept = true;
    const listeners = [];

    const nameOf = (style, key) => `${style}\n${key}`;

    function toMark(told) {
        if (told === null || typeof told !== "object") return null;
        const decision = DECISIONS.includes(told.decision) ? told.decision : null;
        const stars = Number.isInteger(told.stars) && told.stars >= 1 && told.stars <= 5 ? told.stars : 0;
        return decision || stars ? {decision, stars} : null;
    }

    // Reads what another tab or an earlier visit has kept.
    function read() {
        try {
            const kept = JSON.parse(localStorage.getItem(PLACE)) || {};
            const found = Object.entries(kept).map(([name, told]) => [name, toMark(told)]);
            if (isKept) marks = new Map(found.filter(([name, mark]) => mark && name.includes("\n")));
        } catch (error) {
            if (!(error instanceof SyntaxError)) isKept = false;
        }
    }

    function write() {
        try {
            localStorage.setItem(PLACE, JSON.stringify(Object.fromEntries(marks)));
        } catch {
            isKept = false;
        }
        listeners.forEach((listen) => listen());
    }

    const markOf = (style, key) => marks.get(nameOf(style, key)) || NO_MARK;

    function setMark(style, key, change) {
        read();
        const mark = toMark({...markOf(style, key), ...change});
        if (mark) marks.set(nameOf(style, key), mark);
        else marks.delete(nameOf(style, key));
        write();
    }

    // Both take a mark back that is there already.
    function decide(style, key, decision) {
        setMark(style, key, {decision: markOf(style, key).decision === decision ? null : decision});
    }

    function rate(style, key, stars) {
        setMark(style, key, {stars: markOf(style, key).stars === stars ? 0 : stars});
    }

    function clearMarks() {
        marks = new Map();
        write();
    }

    function countMarks() {
        const counts = {picked: 0, rejected: 0, rated: 0, isKept};
        for (const {decision, stars} of marks.values()) {
            if (decision === "pick") counts.picked++;
            if (decision === "reject") counts.rejected++;
            if (stars) counts.rated++;
        }
        return counts;
    }

    function onMarks(listen) {
        listeners.push(listen);
        listen();
    }

    // The key that was pressed as a mark of a picture; tells whether it was one.
    function markByKey(pressed, style, key) {
        const letter = pressed.toLowerCase();
        if (letter === "p") decide(style, key, "pick");
        else if (letter === "x") decide(style, key, "reject");
        else if (/^[1-5]$/.test(letter)) rate(style, key, Number(letter));
        else if (letter === "0") setMark(style, key, {stars: 0});
        else return false;
        return true;
    }

    function entries() {
        const split = (name) => [name.slice(0, name.indexOf("\n")), name.slice(name.indexOf("\n") + 1)];
        const told = [...marks].map(([name, mark]) => [...split(name), mark]);
        return told.sort((a, b) => (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : a[0] < b[0] ? -1 : 1));
    }

    // A spreadsheet takes a text that begins like this for a formula; `artbank export-picks` knows the apostrophe.
    function cell(text) {
        const safe = /^['=+@\t-]/.test(text) ? `'${text}` : text;
        return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
    }

    function tableText() {
        const rows = entries().map(([style, key, {decision, stars}]) => [
            cell(key), cell(style), decision || "", stars || "",
        ].join(","));
        return ["photo,style,decision,stars", ...rows, ""].join("\r\n");
    }

    function listText() {
        const picked = entries().filter(([, , {decision}]) => decision === "pick");
        return [...picked.map(([style, key]) => `${style}/${key}`), ""].join("\n");
    }

    function download(name, type, text) {
        const url = URL.createObjectURL(new Blob([text], {type}));
        const link = artbank.make("a", {href: url, download: name});
        document.body.append(link);
        link.click();
        link.remove();
        setTimeout(() => URL.revokeObjectURL(url), 60_000);
    }

    const downloadList = () => download("picks.txt", "text/plain;charset=utf-8", listText());
    const downloadTable = () => download("picks.csv", "text/csv;charset=utf-8", tableText());

    read();
    window.addEventListener("storage", (event) => {
        if (event.key !== PLACE) return;
        read();
        listeners.forEach((listen) => listen());
    });

    Object.assign(artbank, {
        markOf, decide, rate, clearMarks, countMarks, onMarks, markByKey, downloadList, downloadTable,
    });
})();
