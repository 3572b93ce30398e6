// The bars of the histograms as buttons: one is a filter by its score and style, with Shift up to the last one.
"use strict";

(() => {
    const {numeral, plain, view} = artbank;
    let last = null;  // the bar that was chosen last

    const limitsOf = (bar) => [Number(bar.dataset.low), Number(bar.dataset.high)];
    const measureOf = (bar) => bar.closest("figure").dataset.measure;
    const styleOf = (bar) => artbank.overview.styles[Number(bar.parentNode.dataset.series)];

    function setUpBars(filter) {
        for (const row of document.querySelectorAll("#scores [data-series]")) {
            const bars = [...row.querySelectorAll(".bar")];
            const chart = row.closest("svg");
            chart.setAttribute("role", "group");
            bars.forEach((bar, place) => setUpBar(bar, place, bars, filter));
        }
        showChosen();
    }

    function setUpBar(bar, place, bars, filter) {
        const [low, high] = limitsOf(bar), count = numeral(Number(bar.dataset.count));
        const words = `${low} to ${high}: ${count} ${count === "1" ? "picture" : "pictures"}`;
        bar.setAttribute("role", "button");
        bar.setAttribute("tabindex", place ? "-1" : "0");
        bar.setAttribute("aria-label", `${plain(styleOf(bar))}, ${words}`);
        const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
        title.textContent = words;
        bar.append(title);
        bar.addEventListener("click", (event) => choose(bar, event.shiftKey, filter));
        bar.addEventListener("keydown", (event) => {
            const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
            if (event.key === "Enter" || event.key === " ") choose(bar, event.shiftKey, filter);
            else if (step && bars[place + step]) moveFocus(bar, bars[place + step]);
            else return;
            event.preventDefault();
        });
    }

    function moveFocus(from, to) {
        from.setAttribute("tabindex", "-1");
        to.setAttribute("tabindex", "0");
        to.focus();
    }

    function choose(bar, isLonger, filter) {
        let [low, high] = limitsOf(bar);
        if (isLonger && last && last.parentNode === bar.parentNode) {
            const [from, to] = limitsOf(last);
            [low, high] = [Math.min(low, from), Math.max(high, to)];
        } else {
            last = bar;
        }
        filter(measureOf(bar), styleOf(bar), low, high);
    }

    // Which bars lie in the ranges that are asked for.
    function showChosen() {
        const {value: style} = artbank.byId("style");
        for (const bar of document.querySelectorAll("#scores .bar")) {
            const [low, high] = limitsOf(bar), range = view.ranges.get(measureOf(bar));
            const isOut = range && (low < (range[0] ?? -Infinity) || high > (range[1] ?? Infinity));
            bar.classList.toggle("out", Boolean(isOut || (style && style !== styleOf(bar))));
        }
    }

    Object.assign(artbank, {setUpBars, showChosen});
})();
