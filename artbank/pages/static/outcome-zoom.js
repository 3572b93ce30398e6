// Gestures on a stage: wheel and pinch zoom, a drag moves the picture or the divider, a swipe turns.
"use strict";

(() => {
    const MOST = 8, ON_CLICK = 2.5, BY_KEY = 1.4;
    const SWIPE_PX = 60, NEAR_DIVIDER_PX = 32;

    class Zoom {
        // `told` has changed(), turned(by), closed(), divided(x), dividerX() or null without one, and room(), which
        // is how far a picture of this scale may be moved from the middle of its pane, [x, y].
        constructor(stage, told) {
            Object.assign(this, {stage, told, scale: 1, x: 0, y: 0, pointers: new Map(), doing: null});
            stage.addEventListener("pointerdown", (event) => this.press(event));
            stage.addEventListener("pointermove", (event) => this.move(event));
            for (const name of ["pointerup", "pointercancel"]) {
                stage.addEventListener(name, (event) => this.release(event, name === "pointerup"));
            }
            stage.addEventListener("dblclick", (event) => {
                this.set(this.scale > 1 ? 1 : ON_CLICK, event.clientX, event.clientY);
            });
            stage.addEventListener("wheel", (event) => {
                event.preventDefault();
                this.set(this.scale * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
            }, {passive: false});
        }

        reset() {
            Object.assign(this, {scale: 1, x: 0, y: 0});
            this.told.changed();
        }

        by(direction) {
            const {x, y} = this.middle();
            this.set(this.scale * BY_KEY ** direction, x, y);
        }

        // The middle of the pane below a point of the screen, by default of the first pane.
        middle(clientX, clientY) {
            const panes = [...this.stage.querySelectorAll(".pane")].map((pane) => pane.getBoundingClientRect());
            const isIn = (box) => clientX >= box.left && clientX <= box.right && clientY >= box.top && clientY <= box.bottom;
            const box = panes.find(isIn) || panes[0];
            return {x: box.left + box.width / 2, y: box.top + box.height / 2};
        }

        // Zooms so that what lies below a point of the screen stays there.
        set(wanted, clientX, clientY) {
            const scale = Math.min(Math.max(wanted, 1), MOST), {x, y} = this.middle(clientX, clientY);
            const ratio = scale / this.scale, fromX = clientX - x, fromY = clientY - y;
            this.scale = scale;
            this.place(fromX - (fromX - this.x) * ratio, fromY - (fromY - this.y) * ratio);
        }

        place(x, y) {
            const [roomX, roomY] = this.told.room(this.scale);
            this.x = Math.min(Math.max(x, -roomX), roomX);
            this.y = Math.min(Math.max(y, -roomY), roomY);
            this.told.changed();
        }

        press(event) {
            if (event.button > 0) return;
            this.stage.setPointerCapture(event.pointerId);
            this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
            this.start = {x: event.clientX, y: event.clientY, ownX: this.x, ownY: this.y, scale: this.scale};
            if (this.pointers.size === 2) {
                this.doing = "pinch";
                this.start.apart = this.apart();
            } else if (this.pointers.size === 1) {
                this.doing = this.choose(event);
                if (this.doing === "divide") this.told.divided(event.clientX);
            }
        }

        choose(event) {
            const divider = this.told.dividerX(), isMouse = event.pointerType === "mouse";
            if (divider !== null) {
                if (isMouse && this.scale === 1) return "divide";
                if (Math.abs(event.clientX - divider) < NEAR_DIVIDER_PX) return "divide";
            }
            return this.scale > 1 ? "pan" : "swipe";
        }

        apart() {
            const [a, b] = [...this.pointers.values()];
            return Math.hypot(a.x - b.x, a.y - b.y) || 1;
        }

        move(event) {
            if (!this.pointers.has(event.pointerId)) return;
            this.pointers.set(event.pointerId, {x: event.clientX, y: event.clientY});
            const {start} = this;
            if (this.doing === "pinch" && this.pointers.size === 2) {
                const [a, b] = [...this.pointers.values()];
                this.set(start.scale * this.apart() / start.apart, (a.x + b.x) / 2, (a.y + b.y) / 2);
            } else if (this.doing === "pan") {
                this.place(start.ownX + event.clientX - start.x, start.ownY + event.clientY - start.y);
            } else if (this.doing === "divide") {
                this.told.divided(event.clientX);
            }
        }

        release(event, isDone) {
            if (!this.pointers.delete(event.pointerId)) return;
            const x = event.clientX - this.start.x, y = event.clientY - this.start.y;
            if (isDone && this.doing === "swipe") this.swipe(x, y);
            if (!this.pointers.size) this.doing = null;
        }

        swipe(x, y) {
            if (Math.abs(x) > SWIPE_PX && Math.abs(x) > 1.5 * Math.abs(y)) this.told.turned(x < 0 ? 1 : -1);
            else if (y > 2 * SWIPE_PX && y > 1.5 * Math.abs(x)) this.told.closed();
        }
    }

    Object.assign(artbank, {Zoom});
})();
