// Package stores lists the kinds of stores that there are, and opens one by its URL: nobody else knows a store by its type.
//
//  1. What is logged, answered as an error or written of a store's URL never has its password.
//  2. The calls of a store that is reached over a network are measured at the contract; the others' are not, and cost nothing more.
//  3. A store that is measured has the abilities that it has without (store.Shared and so on).
//
// It starts no goroutine.
package stores
