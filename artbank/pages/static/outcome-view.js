// What the reader looks at: the form, the scores' ranges and the page, all of which the page's address holds.
"use strict";

(() => {
    const {byId, make, fold} = artbank;
    const FIELDS = {q: "search", style: "style", state: "state", judged: "judged", sort: "sort", layout: "layout", size: "size"};
    const STRIP = {show: "best-kind", by: "best-score", of: "best-style"};  // the strip of the best pictures
    const DECKS = ["open", "best"];  // what a picture is opened from: the list, the strip
    const SORTED_CHUNKS = 64;  // a larger output opens by name, since an order by score reads all of it
    const BY_NAME = "name";

    // `opened` has the deck and the place, from 1, of the picture that fills the screen.
    const view = {page: 0, opened: null, shown: null, ranges: new Map(), defaults: {}, strip: {}};

    const measureOf = (name) => artbank.overview.measures.findIndex(([measure]) => measure === name);

    function setDefaults() {
        const {lists, chunks, measures} = artbank.overview;
        const isRanked = lists.length && chunks.length <= SORTED_CHUNKS;
        const sort = isRanked ? `${measures[0][0]}.down` : BY_NAME;
        view.defaults = {q: "", style: "", state: "done", judged: "", sort, layout: "pictures", size: "48"};
        view.strip = {show: "best", by: measures[0][0], of: ""};
        for (const [name, value] of Object.entries(view.defaults)) byId(FIELDS[name]).value = value;
    }

    function askedFor() {
        const {styles} = artbank.overview, told = (name) => byId(FIELDS[name]).value;
        const [state, failure] = told("state").split(":"), [measure, way] = told("sort").split(".");
        return {
            words: fold(told("q")).split(/\s+/).filter(Boolean),
            column: styles.indexOf(told("style")),
            state,
            failure: failure || null,
            judged: told("judged"),
            ranges: [...view.ranges].map(([name, [low, high]]) => [measureOf(name), low ?? -Infinity, high ?? Infinity]),
            sort: told("sort") === BY_NAME ? null : {measure: measureOf(measure), isDown: way === "down"},
            isByPhoto: told("layout") === "photos",
            size: Number(told("size")),
        };
    }

    const viewKey = () => JSON.stringify([askedFor(), view.page]);

    // Of a score only what is asked for: `low` to below `high`, either of them null for no limit.
    function setRange(name, low, high) {
        if (low === null && high === null) view.ranges.delete(name);
        else view.ranges.set(name, [low, high]);
    }

    // The fields that the address tells, each with its element and what it is without an address.
    function addressed() {
        const told = (fields, defaults) => Object.entries(defaults).map(([name, value]) => [name, byId(fields[name]), value]);
        return [...told(FIELDS, view.defaults), ...told(STRIP, view.strip)];
    }

    function setField(name, value) {
        setValue(byId(FIELDS[name]), value);
    }

    function setValue(element, value) {
        const isThere = element.tagName !== "SELECT" || [...element.options].some((option) => option.value === value);
        if (isThere) element.value = value;
    }

    const toNumber = (text) => (text === "" || !Number.isFinite(Number(text)) ? null : Number(text));

    const isView = () => location.hash === "" || location.hash.includes("=");

    function readAddress() {
        const told = new URLSearchParams(location.hash.slice(1));
        for (const [name, element, value] of addressed()) setValue(element, told.get(name) ?? value);
        view.ranges.clear();
        for (const [name] of artbank.overview.measures) {
            const [low, high] = (told.get(name) || ":").split(":");
            setRange(name, toNumber(low ?? ""), toNumber(high ?? ""));
        }
        view.page = Math.max(Math.floor(Number(told.get("page")) || 1), 1) - 1;
        const opened = DECKS.map((deck) => ({deck, place: toNumber(told.get(deck) ?? "")}));
        view.opened = opened.find(({place}) => place !== null) || null;
    }

    function addressOf() {
        const told = new URLSearchParams();
        for (const [name, element, value] of addressed()) {
            if (element.value !== value) told.set(name, element.value);
        }
        for (const [name, [low, high]] of view.ranges) told.set(name, `${low ?? ""}:${high ?? ""}`);
        if (view.page) told.set("page", view.page + 1);
        if (view.opened) told.set(view.opened.deck, view.opened.place);
        const text = told.toString();
        return text ? `#${text}` : location.pathname + location.search;
    }

    function writeAddress({isNew = false} = {}) {
        try {
            if (isNew) history.pushState({isOpened: true}, "", addressOf());
            else history.replaceState(history.state, "", addressOf());
        } catch {
            // browsers limit how often an address changes; the next change catches up
        }
    }

    // The filters that are set, each with a button that takes it back.
    function showFilters(change) {
        const {measures} = artbank.overview;
        const chips = [...view.ranges].map(([name, [low, high]]) => {
            const title = measures[measureOf(name)][1];
            const words = `${title}: ${low ?? "…"} to ${high ?? "…"}`;
            const button = make("button", {type: "button", className: "chip"}, words, make("span", {"aria-hidden": "true"}, " ✕"));
            button.setAttribute("aria-label", `${words}: take back`);
            button.addEventListener("click", () => change(() => setRange(name, null, null)));
            return button;
        });
        byId("chips").replaceChildren(...chips);
        for (const [name] of measures) {
            const [low, high] = view.ranges.get(name) || [null, null];
            byId(`from-${name}`).value = low ?? "";
            byId(`below-${name}`).value = high ?? "";
        }
    }

    Object.assign(artbank, {
        view, viewKey, setDefaults, askedFor, setRange, setField, toNumber, isView, readAddress, writeAddress, showFilters,
    });
})();
