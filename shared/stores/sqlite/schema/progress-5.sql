-- Open orders up to the mark `settled`: up to there every other order is final. A row may outlive its order's last state.

CREATE TABLE stragglers (
    sequence INTEGER PRIMARY KEY        -- as in orders
);
