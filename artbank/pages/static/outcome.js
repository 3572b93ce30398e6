// The page of an output, the last of its scripts: fills the forms, listens to them, shows what they ask for.
"use strict";

(() => {
    const {byId, make, plain, numeral, view, showBest, openBestAt, showPhotos, turnTo, openAt, forgetSource, setUpGrid} = artbank;
    const {viewKey, setDefaults, setRange, setField, toNumber, isView, readAddress, writeAddress, showFilters} = artbank;
    const {setUpViewer, setUpBars, showChosen, countMarks, onMarks, clearMarks, downloadList, downloadTable} = artbank;
    const TYPED_MS = 150;  // a search begins when nothing was typed for so long

    function fill(select, options) {
        select.append(...options.map(([value, words]) => make("option", {value}, plain(words))));
    }

    function fillForms({styles, measures, lists, failures}) {
        const names = styles.map((name) => [name, name]);
        fill(byId("best-style"), [["", "all"], ...names]);
        fill(byId("best-score"), measures);
        fill(byId("style"), [["", "all"], ...names]);
        fill(byId("state"), failures.map((kind) => [`failed:${kind}`, `failed: ${kind.replace(/_/g, " ")}`]));
        for (const [name, words] of measures) {
            fill(byId("sort"), [[`${name}.down`, `${words}, highest first`], [`${name}.up`, `${words}, lowest first`]]);
        }
        byId("ranges").replaceChildren(...measures.map(rangeFields));
        for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
        for (const id of ["best-style", "style"]) byId(id).closest("p").hidden = styles.length < 2;
        if (!lists.length) byId("best").hidden = true;
        byId("photos-title").tabIndex = -1;
    }

    function rangeFields([name, words]) {
        const field = (part, label) => {
            const input = make("input", {type: "number", step: "any", id: `${part}-${name}`, inputmode: "decimal"});
            input.dataset.measure = name;
            return [make("label", {htmlFor: `${part}-${name}`}, label), input];
        };
        return make("fieldset", {}, make("legend", {}, words), ...field("from", "from"), ...field("below", "to below"));
    }

    function show(page = 0, how = {}) {
        showFilters(change);
        showChosen();
        return showPhotos(page, how);
    }

    function change(act) {
        act();
        return show();
    }

    function listenToForms() {
        for (const form of [byId("best-form"), byId("search-form")]) {
            form.addEventListener("submit", (event) => event.preventDefault());
        }
        byId("best-form").addEventListener("change", () => {
            showBest();
            writeAddress();
        });
        let timer = 0;
        byId("search-form").addEventListener("change", (event) => {
            const {target} = event;
            if (target === byId("search")) return;
            clearTimeout(timer);  // else it would lead back to the first page
            if (target === byId("judged")) forgetSource();
            if (target.dataset.measure) {
                const [low, high] = ["from", "below"].map((part) => toNumber(byId(`${part}-${target.dataset.measure}`).value));
                setRange(target.dataset.measure, low, high);
            }
            show();
        });
        byId("search").addEventListener("input", () => {
            clearTimeout(timer);
            timer = setTimeout(show, TYPED_MS);
        });
        byId("reset").addEventListener("click", () => change(() => {
            setDefaults();
            view.ranges.clear();
        }));
    }

    function listenToPages() {
        const page = byId("page");
        byId("back").addEventListener("click", () => turnTo(view.page - 1));
        byId("on").addEventListener("click", () => turnTo(view.page + 1));
        page.addEventListener("change", () => {
            turnTo(Math.min(Math.max(Number(page.value) || 1, 1), Number(page.max)) - 1);
        });
    }

    function listenToMarks() {
        byId("download-list").addEventListener("click", downloadList);
        byId("download-table").addEventListener("click", downloadTable);
        byId("clear-marks").addEventListener("click", () => {
            if (confirm("Take back all picks, rejects and stars of this page?")) clearMarks();
        });
        onMarks(() => {
            const {picked, rejected, rated, isKept} = countMarks();
            const told = [[picked, "picked"], [rejected, "rejected"], [rated, "rated"]].filter(([count]) => count);
            byId("marks-told").textContent = told.map(([count, word]) => `${numeral(count)} ${word}`).join(" · ");
            byId("marks").hidden = !told.length;
            byId("marks-lost").hidden = isKept;
            byId("download-list").disabled = !picked;
        });
    }

    // Links within the page leave its address alone, which tells the view.
    function listenToAddress() {
        document.addEventListener("click", (event) => {
            const link = event.target.closest && event.target.closest('a[href^="#"]');
            if (!link) return;
            const [, told] = link.getAttribute("href").split("#"), target = byId(told);
            event.preventDefault();
            if (target) {
                target.scrollIntoView({block: "start"});
                target.tabIndex = -1;
                target.focus({preventScroll: true});
            } else {
                history.pushState(null, "", `#${told}`);
                followAddress();
                byId("photos").scrollIntoView({block: "start"});
            }
        });
        window.addEventListener("popstate", followAddress);
    }

    // Shows what the page's address tells: at first, and when the reader goes back and forth.
    async function followAddress() {
        if (!isView()) return;
        readAddress();
        const {opened} = view, dialog = byId("viewer");
        if (dialog.open && !opened) dialog.close();
        showBest();
        if (viewKey() !== view.shown) await show(view.page, {isAddressed: true});
        if (opened && !dialog.open) await (opened.deck === "best" ? openBestAt : openAt)(opened.place - 1);
    }

    function filterByBar(measure, style, low, high) {
        setRange(measure, low, high);
        setField("style", style);
        setField("layout", "pictures");
        show();
        byId("photos").scrollIntoView({block: "start"});
    }

    function start() {
        if (!artbank.overview) return;  // the static sample stays
        fillForms(artbank.overview);
        setDefaults();
        listenToForms();
        listenToPages();
        listenToMarks();
        listenToAddress();
        setUpViewer();
        setUpGrid();
        setUpBars(filterByBar);
        showBest();
        if (!isView()) {
            const target = byId(location.hash.slice(1));
            show();
            if (target) target.scrollIntoView();
        } else {
            followAddress();
        }
    }

    document.addEventListener("DOMContentLoaded", start);
})();
