// A close look: one picture after another with its photo, its scores and its marks, on the whole screen.
"use strict";

(() => {
    const {byId, make, plain, captionText, numeral, score, nameOf, stage, MOST_ENLARGED} = artbank;
    const {markOf, decide, rate, markByKey, onMarks, pictureUrl, pictureUrls, photoUrl, view, writeAddress} = artbank;

    // `deck` has a name, by which the page's address tells it, total() and at(place).
    const looked = {deck: null, place: 0, photo: null, column: 0, turn: 0};

    async function openViewer(deck, place, column = null, {isNew = true} = {}) {
        looked.deck = deck;
        const dialog = byId("viewer");
        if (!dialog.open) dialog.showModal();
        document.documentElement.classList.add("looking");
        await turnTo(place, column);
        if (isNew) writeAddress({isNew: true});
    }

    async function turnTo(place, column = null) {
        const turn = ++looked.turn, {deck} = looked;
        const total = deck.total();
        if (place < 0 || (total !== null && place >= total)) return;
        const found = await deck.at(place);
        if (turn !== looked.turn || !found) return;
        Object.assign(looked, {place, photo: found.photo, column: column ?? found.column});
        view.opened = {deck: deck.name, place: place + 1};
        showPicture();
        preload(place + 1);
    }

    async function turnBy(by) {
        await turnTo(looked.place + by);
        writeAddress();
    }

    // The same photo in the style before or after this one.
    function changeStyle(by) {
        const {styles} = artbank.overview;
        looked.column = (looked.column + by + styles.length) % styles.length;
        showPicture();
    }

    async function preload(place) {
        const {deck} = looked, total = deck.total();
        if (total !== null && place >= total) return;
        const next = await deck.at(place).catch(() => null), cell = next && next.photo.cells[next.column];
        if (!cell) return;
        const [url] = pictureUrls(next.photo, cell, artbank.overview.styles[next.column]);
        if (url) new Image().src = url;
    }

    function current() {
        const {photo, column} = looked;
        return {photo, style: artbank.overview.styles[column], cell: photo.cells[column]};
    }

    function showPicture() {
        const {photo, style, cell} = current(), {deck, place} = looked, total = deck.total();
        byId("viewer-title").replaceChildren(nameOf(photo.key), make("span", {className: "muted"}, ` · ${plain(style)}`));
        byId("viewer-place").textContent = `${numeral(place + 1)}${total === null ? "" : ` of ${numeral(total)}`}`;
        byId("viewer-caption").textContent = photo.caption ? captionText(photo.caption) : "";
        byId("viewer-back").disabled = place === 0;
        byId("viewer-on").disabled = total !== null && place + 1 >= total;
        stage.show(photo, cell, style);
        byId("viewer-facts").replaceChildren(...factsOf(photo, cell, style));
        showMarks();
    }

    function factsOf(photo, cell, style) {
        const terms = artbank.overview.measures.map(([name, words], place) => [
            words, cell && cell.scores ? score(cell.scores[place]) : "–", name,
        ]);
        const size = cell && cell.size;
        if (size) terms.push(["Size", `${size[0]} × ${size[1]} px${isSmall(size) ? `, shown at most ${MOST_ENLARGED} times as large` : ""}`]);
        if (cell && cell.flags && cell.flags.length) terms.push(["Looks wrong", plain(cell.flags.join(", "))]);
        if (cell && cell.state === "f") terms.push(["Failed", plain(cell.reason || cell.failure || "no reason was kept")]);
        const entries = terms.map(([term, fact, title]) => (
            make("div", {title: title || null}, make("dt", {}, term), make("dd", {}, fact))
        ));
        const files = [["Picture file", cell && pictureUrl(cell, photo.key, style)], ["Photo file", photoUrl(photo.key)]];
        const links = files.filter(([, url]) => url).map(([words, href]) => make("li", {}, make("a", {href}, words)));
        return [make("dl", {className: "facts"}, ...entries), make("ul", {className: "menu"}, ...links)];
    }

    function isSmall([width, height]) {
        const room = byId("viewer-stage");
        return Math.min(room.clientWidth / width, room.clientHeight / height) > MOST_ENLARGED;
    }

    function showMarks() {
        if (!looked.photo) return;
        const {photo, style} = current(), {decision, stars} = markOf(style, photo.key);
        byId("viewer-pick").setAttribute("aria-pressed", String(decision === "pick"));
        byId("viewer-reject").setAttribute("aria-pressed", String(decision === "reject"));
        byId("viewer-stars").querySelectorAll("button").forEach((button) => {
            button.classList.toggle("lit", Number(button.value) <= stars);
            button.setAttribute("aria-pressed", String(Number(button.value) === stars));
        });
    }

    function close() {
        byId("viewer").close();
    }

    function closed() {
        document.documentElement.classList.remove("looking");
        const wasNew = Boolean(history.state && history.state.isOpened);
        looked.turn++;
        view.opened = null;
        if (wasNew) history.back();
        else writeAddress();
        if (looked.deck && looked.deck.focus) looked.deck.focus(looked.place);
    }

    const KEYS = {
        ArrowLeft: () => turnBy(-1),
        ArrowRight: () => turnBy(1),
        ArrowUp: () => changeStyle(-1),
        ArrowDown: () => changeStyle(1),
        s: () => stage.setMode("slider"),
        b: () => stage.setMode("side"),
        "+": () => stage.zoomBy(1),
        "=": () => stage.zoomBy(1),
        "-": () => stage.zoomBy(-1),
        z: () => stage.zoomBy(0),
        i: () => { byId("viewer-more").open = !byId("viewer-more").open; },
    };

    function pressed(event) {
        if (event.ctrlKey || event.metaKey || event.altKey || !looked.photo) return;
        if (event.target.type === "range" && event.key.startsWith("Arrow")) return;  // it moves the divider
        const {photo, style} = current(), act = KEYS[event.key] || KEYS[event.key.toLowerCase()];
        if (act) act();
        else if (!markByKey(event.key, style, photo.key)) return;
        event.preventDefault();
    }

    function setUpViewer() {
        const dialog = byId("viewer"), onClick = (id, act) => byId(id).addEventListener("click", act);
        stage.setUp({turned: turnBy, closed: close});
        onClick("viewer-back", () => turnBy(-1));
        onClick("viewer-on", () => turnBy(1));
        onClick("viewer-close", close);
        onClick("viewer-in", () => stage.zoomBy(1));
        onClick("viewer-out", () => stage.zoomBy(-1));
        onClick("viewer-zoom", () => stage.zoomBy(0));
        onClick("viewer-pick", () => decide(current().style, looked.photo.key, "pick"));
        onClick("viewer-reject", () => decide(current().style, looked.photo.key, "reject"));
        for (const button of byId("viewer-stars").querySelectorAll("button")) {
            button.addEventListener("click", () => rate(current().style, looked.photo.key, Number(button.value)));
        }
        for (const button of byId("viewer-modes").querySelectorAll("button")) {
            button.addEventListener("click", () => stage.setMode(button.value));
        }
        byId("viewer-more").open = innerWidth >= 900;
        dialog.addEventListener("close", closed);
        dialog.addEventListener("keydown", pressed);
        stage.setCut(50);
        onMarks(showMarks);
    }

    Object.assign(artbank, {openViewer, setUpViewer, closeViewer: close});
})();
