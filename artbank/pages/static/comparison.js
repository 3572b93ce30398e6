// Shows one pair at a time and takes votes by buttons and keys. A pair appears once all of its pictures are loaded.
"use strict";

(() => {
    const byId = (id) => document.getElementById(id);
    const {told} = artbank;
    const KEYS = {ArrowLeft: "A", a: "A", ArrowRight: "B", b: "B", t: "tie"};
    const NAMES = {photo: "The photo", left: "Picture A", right: "Picture B"};
    const numPairs = told.pairs.length;

    let current = 0;  // number of the pair that is shown, from 1; 0 at the end
    let isReady = false;

    function nextUnvoted(after) {
        const order = Array.from({length: numPairs}, (_, place) => ((after + place) % numPairs) + 1);
        return order.find((pair) => !artbank.choiceOf(pair)) || 0;
    }

    async function load(image, source) {
        image.src = source;
        await image.decode();
    }

    async function show(pair) {
        current = pair;
        isReady = false;
        byId("voting").hidden = pair === 0;
        byId("end").hidden = pair !== 0;
        tell();
        if (pair === 0) return;
        const facts = told.pairs[pair - 1];
        byId("pair").classList.add("waiting");
        try {
            await Promise.all(Object.keys(NAMES).map((side) => load(byId(side), facts[side])));
        } catch {
            if (current === pair) complain("A picture of this pair cannot be loaded. Load the page again.");
            return;
        }
        if (current !== pair) return;
        complain("");
        showShape();
        showArtworks(told.styles[facts.style]);
        byId("pair").classList.remove("waiting");
        isReady = true;
        preload(nextUnvoted(pair));
    }

    // Wide pictures stand below each other on a phone, high ones side by side.
    function showShape() {
        const isWide = ["left", "right"].every((side) => byId(side).naturalWidth >= byId(side).naturalHeight);
        byId("pair").classList.toggle("wide", isWide);
    }

    function showArtworks({name, artworks}) {
        byId("artworks").hidden = artworks.length === 0;
        byId("artworks-caption").textContent = `artworks, ${name}`;
        const images = artworks.map((source, place) =>
            Object.assign(document.createElement("img"), {src: source, alt: `Artwork ${place + 1}`}));
        byId("artworks-list").replaceChildren(...images);
    }

    function preload(pair) {
        if (pair === 0) return;
        for (const side of Object.keys(NAMES)) new Image().src = told.pairs[pair - 1][side];
    }

    function complain(text) {
        byId("problem").textContent = text;
        byId("problem").hidden = text === "";
    }

    function tell(last) {
        const count = artbank.numVotes();
        const where = current ? `Pair ${current} of ${numPairs}, ` : `Of ${numPairs} pairs, `;
        byId("progress").textContent = `${where}${count} voted on`;
        byId("said").textContent = last ? `Your vote: ${last}. ${byId("progress").textContent}.` : "";
        byId("bar").hidden = false;
        byId("bar").value = count;
        byId("back").disabled = current === 1;
        byId("download").disabled = byId("anew").disabled = count === 0;
        byId("kept").textContent = artbank.isKept() ? "" : "This browser does not keep votes: download them before you leave.";
        for (const button of document.querySelectorAll(".vote")) {
            button.setAttribute("aria-pressed", String(artbank.choiceOf(current) === button.dataset.choice));
        }
    }

    async function vote(choice) {
        if (!isReady) return;
        artbank.vote(current, choice);
        const next = nextUnvoted(current);
        const shown = show(next);
        tell(choice);
        if (next === 0) byId("end-title").focus();
        await shown;
    }

    const goBack = () => show(current === 0 ? numPairs : Math.max(current - 1, 1));

    function look(side) {
        byId("closer-title").textContent = NAMES[side];
        Object.assign(byId("closer-image"), {src: byId(side).src, alt: NAMES[side]});
        byId("closer").showModal();
    }

    function press(event) {
        const isTyping = event.target.closest("dialog, input:not([type=checkbox]), textarea, select");
        if (!byId("keys").checked || event.repeat || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
        const choice = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
        if (!choice && event.key !== "Backspace") return;
        event.preventDefault();
        if (event.key === "Backspace") goBack();
        else if (current !== 0) vote(choice);
    }

    function askToDelete() {
        const count = artbank.numVotes(), unsaved = artbank.numUnsaved();
        byId("sure-text").textContent = `${count} ${count === 1 ? "vote" : "votes"}; ${unsaved} not downloaded.`;
        byId("sure").returnValue = "keep";
        byId("sure").showModal();
    }

    function answer() {
        if (byId("sure").returnValue !== "delete") return;
        artbank.startAnew();
        show(1);
    }

    for (const button of document.querySelectorAll(".vote")) {
        button.addEventListener("click", () => vote(button.dataset.choice));
    }
    for (const button of document.querySelectorAll(".look")) {
        button.addEventListener("click", () => look(button.dataset.side));
    }
    for (const id of ["back", "end-back"]) byId(id).addEventListener("click", goBack);
    byId("download").addEventListener("click", artbank.download);
    byId("anew").addEventListener("click", askToDelete);
    byId("sure").addEventListener("close", answer);
    document.addEventListener("keydown", press);
    window.addEventListener("storage", (event) => {
        if (!artbank.isOurs(event)) return;
        artbank.read();
        tell();
    });
    byId("needed").hidden = true;
    byId("file").hidden = false;
    show(nextUnvoted(0));
})();
