-- Whether a label says of itself that something passed; NULL where it does not. What "yes" means, its name says.
CREATE OR REPLACE MACRO verdict(label) AS
    CASE
        WHEN regexp_replace(lower(label), '[\s_.-]', '', 'g') IN (
            'pass', 'passed', 'passing', 'success', 'successful', 'correct', 'good', 'acceptable', 'accepted', 'approved',
            'relevant', 'factual', 'grounded', 'faithful', 'supported', 'safe', 'helpful', 'nontoxic', 'nottoxic',
            'nothallucinated', 'thumbsup', 'thumbup', '👍', 'like', 'liked', 'upvote', 'upvoted'
        ) THEN TRUE
        WHEN regexp_replace(lower(label), '[\s_.-]', '', 'g') IN (
            'fail', 'failed', 'failing', 'failure', 'incorrect', 'wrong', 'bad', 'unacceptable', 'rejected',
            'irrelevant', 'notrelevant', 'hallucinated', 'hallucination', 'ungrounded', 'notgrounded', 'unfaithful',
            'unsupported', 'unsafe', 'unhelpful', 'nothelpful', 'toxic', 'thumbsdown', 'thumbdown', '👎', 'dislike',
            'disliked', 'downvote', 'downvoted'
        ) THEN FALSE
    END;
