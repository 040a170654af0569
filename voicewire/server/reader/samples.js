// Texts to try when there is none yet.

export const SAMPLES = {
  morning: `The market at six

The square is still blue when the first vans arrive. Mrs. Okafor unfolds her table, sets out the oranges in rows of ten, and chalks the price on a board: $4.50 a bag, two for $8. Nobody has asked yet, but she says it aloud anyway, to hear how it sounds.

“You’re early,” calls the baker, who is always earlier. He slides a roll across the counter, still too hot to hold. She pays him with an orange. They have done this for eleven years, and neither of them has ever counted.

By seven the light has reached the clock tower. A boy on a bicycle wobbles past with a ladder under one arm; two dogs discuss the fountain; somewhere a radio finds its station. It is an ordinary Tuesday, and it has only just begun.`,

  listening: `Why we listen

Long before anyone wrote a word down, stories lived in the ear. A voice carries what a page cannot: where to breathe, what to doubt, which word to lean on. When we listen, we borrow someone else’s pace.

Reading with the ear also frees the eyes. You can follow a long article while the kettle boils, proofread your own letter by hearing the sentence that limps, or learn how a language moves before you know what it means.

Press any word to go there. The page will keep up with you.`,

  bonjour: `Le train de nuit

Le train quitte la gare à vingt-deux heures dix. Sur le quai, un homme agite un chapeau qui n’est pas le sien. Dans le couloir, une fillette compte les fenêtres éclairées : sept, huit, neuf… puis plus rien que la campagne.

« Tu dors ? » demande-t-elle. Personne ne répond. Alors elle raconte l’histoire à voix basse, pour elle seule, jusqu’à la mer.`,
};
